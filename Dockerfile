# The commands and the workflow, with weights, templates and the skull strip: docs/containers.md
FROM debian:bookworm-slim
ARG TORCH_ARGS=""
ENV PATH=/opt/venv/bin:$PATH LANG=C.UTF-8
COPY . /opt/smgicnet
RUN /opt/smgicnet/containers/install.sh ${TORCH_ARGS}
WORKDIR /work
ENTRYPOINT ["/opt/smgicnet/containers/start.sh"]
CMD ["smgicnet", "--help"]
