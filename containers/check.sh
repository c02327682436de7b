#!/bin/sh
# Uses all that the image is for, in the working folder and on data that the image has: `make test-container`.
set -eu
echo "user $(id -u), home ${HOME:-none}"
if touch /opt/smgicnet/written 2>/dev/null; then
	echo "This user may write into the image." >&2
	exit 1
fi
if python -c 'import socket; socket.create_connection(("192.0.2.1", 80), timeout=3)' 2>/dev/null; then
	echo "There is a network." >&2
	exit 1
fi
template() {
	python -c "from smgicnet.imaging.templates import find_template; print(find_template('$1').path)"
}
fixed=$(template mni)
moving=$(template MNI152NLin2009cAsym)
smgicnet register --to mni --moving "$moving" --quality fast --out pair
smgicnet apply "$moving" --transform pair/displacement.nii.gz --to "$fixed" --out applied.nii.gz
mkdir -p bids/sub-01/anat
echo '{"Name": "one", "BIDSVersion": "1.9.0"}' >bids/dataset_description.json
cp "$moving" bids/sub-01/anat/sub-01_T1w.nii.gz
smgicnet bids bids derivatives participant --quality fast --skull-strip deepbet
smgicnet bids bids derivatives group
python -c 'import ants, fsl.wrappers, icon_registration.networks, digital_diffeomorphism'
workflow() {
	config=/opt/smgicnet/config/$1.yaml
	shift
	snakemake --snakefile /opt/smgicnet/Snakefile --configfile "$config" --cores all --quiet all "$@"
}
if ! workflow config --dry-run >dry-run.log 2>&1; then
	cat dry-run.log >&2
	exit 1
fi
echo "The default config has $(awk '$1 == "total" { print $2; exit }' dry-run.log) jobs."
workflow miniature -- table1
cat results/miniature/tables/table1.md
