// The viewer: one NiiVue canvas an image, laid side by side or on top of each other; modes are CSS alone.

const index = JSON.parse(document.getElementById("viewer-index").textContent);
const element = (id) => document.getElementById(id);
const AXES = [[0, 1], [0, 2], [1, 2]]; // in-plane axes of NiiVue's axial, coronal and sagittal slices
const SIDES = ["LR", "LR", "PA"];
const DIVERGING = [[33, 102, 172], [103, 169, 207], [247, 247, 247], [239, 138, 98], [178, 24, 43]];
const FOLD = [255, 214, 0];

// Colours of the Jacobian map: t from -1 (shrinks) over 0 (unchanged) to 1 (grows).
function diverging(t) {
  const place = (Math.min(Math.max(t, -1), 1) + 1) * 2;
  const left = Math.min(Math.floor(place), 3);
  return DIVERGING[left].map((value, c) => Math.round(value + (place - left) * (DIVERGING[left + 1][c] - value)));
}

// Where a determinant lies on the colour scale.
const position = { log: (det) => Math.log2(det) / index.jacobian.log2, linear: (det) => det - 1 };

function colourMap(scale) {
  const { fold, least, most, log2 } = index.jacobian;
  const map = { R: [], G: [], B: [], A: [], I: [], min: 0, max: 255 };
  for (let code = 0; code < 256; code++) {
    const det = 2 ** (((code - least) / (most - least)) * 2 * log2 - log2);
    const colour = code < (fold + least) / 2 ? FOLD : diverging(position[scale](det));
    ["R", "G", "B"].forEach((channel, c) => map[channel].push(colour[c]));
    map.A.push(code ? 255 : 0);
    map.I.push(code);
  }
  return map;
}

function bytesOf(id) {
  const text = atob(element(id).textContent);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

// The displacement in voxels of the viewer's grid: three arrays, last axis fastest. The inverse of volumes.pack_field.
async function readField(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const [d, h, w] = index.shape;
  const size = d * h * w;
  return [0, 1, 2].map((component) => {
    const field = new Float32Array(size);
    for (let i = 0, steps = 0; i < size; i++) {
      const at = component * size + i;
      const change = ((bytes[at] | (bytes[3 * size + at] << 8)) << 16) >> 16;
      steps = i % w ? steps + change : change;
      field[i] = steps / index.field_steps;
    }
    return field;
  });
}

// Where the voxels of a slice are on its canvas: in-plane axes p and q, the slice's frame.
function pixels(tile) {
  const [p, q] = AXES[tile.axCorSag];
  const [left, top, wide, high] = tile.leftTopWidthHeight;
  const toX = (i) => left + (wide * (i + 0.5)) / index.shape[p];
  const toY = (j) => top + high * (1 - (j + 0.5) / index.shape[q]);
  return { p, q, toX, toY, left, top, wide, high };
}

class Pane {
  constructor(root) {
    this.root = root;
    this.name = root.dataset.image;
    this.canvas = root.querySelector("canvas.gl");
    this.lines = root.querySelector("canvas.lines");
  }

  async start(onDraw, onMove) {
    this.nv = new niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairWidth: 0, // drawn with the letters, thinner than NiiVue can
      dragAndDropEnabled: false,
      dragMode: niivue.DRAG_MODE.none,
      isColorbar: false,
      isOrientationTextVisible: false,
      loadingText: "",
      logLevel: "silent",
      multiplanarPadPixels: 2,
      multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
      multiplanarLayout: niivue.MULTIPLANAR_TYPE.ROW,
      sliceType: niivue.SLICE_TYPE.MULTIPLANAR,
      viewModeHotKey: "",
      clipPlaneHotKey: "",
    });
    await this.nv.attachToCanvas(this.canvas);
    this.canvas.tabIndex = -1; // the stage takes the keyboard
    for (const [name, scale] of [["jacobian-log", "log"], ["jacobian-linear", "linear"]]) {
      this.nv.addColormap(name, colourMap(scale));
    }
    const draw = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = (...all) => {
      const result = draw(...all);
      onDraw();
      return result;
    };
    this.nv.onLocationChange = () => onMove(this);
  }

  // Replace all volumes; the cross-hair stays where it is.
  async show(id, overlay) {
    const place = [...this.nv.scene.crosshairPos];
    for (const volume of [...this.nv.volumes].reverse()) this.nv.removeVolume(volume);
    const image = { base64: element(id).textContent, name: `${id}.nii.gz`, colormap: "gray", cal_min: 0, cal_max: 255 };
    this.nv.addVolume(await niivue.NVImage.loadFromBase64(image));
    if (overlay) this.nv.addVolume(await niivue.NVImage.loadFromBase64(overlay));
    this.nv.scene.crosshairPos = place;
    this.nv.drawScene();
  }

  get tiles() {
    return (this.nv.screenSlices || []).filter((slice) => slice.axCorSag <= 2);
  }

  // The cross-hair, and which way a slice lies: small letters in its lower corners.
  drawMarks(context, at) {
    const size = Math.round((12 * this.canvas.width) / this.canvas.clientWidth);
    context.font = `${size}px system-ui, sans-serif`;
    context.fillStyle = "rgba(255, 255, 255, 0.75)";
    context.strokeStyle = "rgba(255, 194, 51, 0.75)";
    context.lineWidth = size / 12;
    for (const tile of this.tiles) {
      const { p, q, toX, toY, left, top, wide, high } = pixels(tile);
      context.beginPath();
      context.moveTo(toX(at[p]), top);
      context.lineTo(toX(at[p]), top + high);
      context.moveTo(left, toY(at[q]));
      context.lineTo(left + wide, toY(at[q]));
      context.stroke();
      for (const [side, align] of ["left", "right"].entries()) {
        context.textAlign = align;
        const x = left + (side ? wide - size * 0.4 : size * 0.4);
        context.fillText(SIDES[tile.axCorSag][side], x, top + high - size * 0.4);
      }
    }
  }

  drawOver(field, opacity) {
    const { width, height } = this.canvas;
    Object.assign(this.lines, { width, height });
    const context = this.lines.getContext("2d");
    const at = this.nv.frac2vox(this.nv.scene.crosshairPos);
    if (field) this.drawGrid(context, field, opacity, at);
    this.drawMarks(context, at);
  }

  // The lattice carried by the transformation: where a coordinate of x + u(x) is on one of its planes.
  drawGrid(context, field, opacity, at) {
    context.strokeStyle = `rgba(126, 211, 255, ${opacity})`;
    context.lineWidth = Math.max(1, this.canvas.width / 700);
    for (const tile of this.tiles) {
      const { p, q, toX, toY } = pixels(tile);
      context.beginPath();
      for (const axis of [p, q]) {
        const value = (i, j) => {
          const voxel = [...at];
          voxel[p] = i;
          voxel[q] = j;
          const [, h, w] = index.shape;
          return voxel[axis] + field[axis][(voxel[0] * h + voxel[1]) * w + voxel[2]];
        };
        isoLines(value, index.shape[p], index.shape[q], index.lattice, (a, b) => {
          context.moveTo(toX(a[0]), toY(a[1]));
          context.lineTo(toX(b[0]), toY(b[1]));
        });
      }
      context.stroke();
    }
  }
}

// Segments along which values on a grid of points are half a step from a multiple of it, which lies between voxels
// where nothing moves; each square is cut into two triangles.
function isoLines(value, m, n, step, segment) {
  const values = Array.from({ length: m }, (_, i) => Array.from({ length: n }, (_, j) => value(i, j)));
  const cut = (corners) => {
    const found = corners.map(([i, j]) => values[i][j]);
    const low = Math.ceil(Math.min(...found) / step - 0.5) + 0.5;
    for (let level = low; level * step <= Math.max(...found); level++) {
      const ends = [];
      for (let c = 0; c < 3; c++) {
        const [a, b] = [found[c], found[(c + 1) % 3]];
        if (a < level * step === b < level * step) continue;
        const share = (level * step - a) / (b - a);
        ends.push([0, 1].map((k) => corners[c][k] + share * (corners[(c + 1) % 3][k] - corners[c][k])));
      }
      if (ends.length === 2) segment(ends[0], ends[1]);
    }
  };
  for (let i = 0; i + 1 < m; i++) {
    for (let j = 0; j + 1 < n; j++) {
      cut([[i, j], [i + 1, j], [i + 1, j + 1]]);
      cut([[i, j], [i + 1, j + 1], [i, j + 1]]);
    }
  }
}

class Viewer {
  constructor() {
    this.stage = element("stage");
    this.panes = Object.fromEntries([...this.stage.querySelectorAll(".pane")].map((p) => [p.dataset.image, new Pane(p)]));
    this.second = true; // flicker shows the second image
    this.work = Promise.resolve();
  }

  get mode() {
    return document.querySelector("input[name=mode]:checked").value;
  }

  async start() {
    for (const pane of Object.values(this.panes)) {
      await pane.start(() => this.redraw(), (moved) => this.follow(moved));
    }
    this.listen();
    await this.load();
    this.setMode();
  }

  // One load after the other, however fast the choices are changed.
  load() {
    this.work = this.work.then(() => this.loadNow());
    return this.work;
  }

  async loadNow() {
    this.offer();
    const [pair, run] = [element("pair").value, element("run").value];
    const stem = `p${pair}-r${run}`;
    const wanted = element("jacobian-on").checked && {
      base64: element(`${stem}-jacobian`).textContent,
      name: `${stem}-jacobian.nii.gz`,
      colormap: `jacobian-${element("jacobian-scale").value}`,
      opacity: element("jacobian-opacity").value / 100,
      cal_min: 0,
      cal_max: 255,
    };
    this.field = element("grid-on").checked ? await readField(`${stem}-field`) : null;
    await this.panes.fixed.show(`p${pair}-fixed`, wanted);
    await this.panes.moving.show(`p${pair}-moving`, null);
    await this.panes.warped.show(`${stem}-warped`, wanted);
    this.facts(index.cases[stem]);
    this.redraw();
    this.stage.dataset.shown = `${stem}${wanted ? "-jacobian" : ""}${this.field ? "-grid" : ""}`;
  }

  // The methods that have registered the pair, and what is to be said of it; a choice that there is not becomes the first.
  offer() {
    const pair = element("pair").value;
    const runs = [...element("run").options];
    for (const option of runs) option.disabled = !index.cases[`p${pair}-r${option.value}`];
    if (element("run").selectedOptions[0]?.disabled) element("run").value = runs.find((option) => !option.disabled).value;
    const { note } = index.pairs[pair];
    if (element("note")) Object.assign(element("note"), { hidden: !note, textContent: note ?? "" });
  }

  facts({ before, after, folds, folds_percent: percent, failed }) {
    const dice = [before, after].map((value) => (value === null ? "–" : value.toFixed(3)));
    const share = percent > 0 && percent < 0.001 ? "<0.001" : percent?.toFixed(3);
    const brain = percent === null ? "" : `${share} % of the brain, `;
    const without = failed ? "No result: the moving image is shown as it lies. " : "";
    element("facts").textContent =
      `${without}Mean Dice ${dice[0]} before, ${dice[1]} after. Folded: ${brain}${folds.toLocaleString("en")} voxels of the grid.`;
  }

  // The other panes go where the cross-hair went.
  follow(moved) {
    if (this.following) return;
    this.following = true;
    for (const pane of Object.values(this.panes)) {
      if (pane === moved || !pane.nv.volumes.length) continue;
      pane.nv.scene.crosshairPos = [...moved.nv.scene.crosshairPos];
      pane.nv.drawScene();
    }
    this.following = false;
    const at = moved.nv.frac2vox(moved.nv.scene.crosshairPos);
    for (const slider of document.querySelectorAll("input[data-axis]")) slider.value = at[slider.dataset.axis];
  }

  moveTo(voxel) {
    const pane = this.panes.fixed;
    pane.nv.scene.crosshairPos = voxel.map((v, axis) => (Math.min(Math.max(v, 0), index.shape[axis] - 1) + 0.5) / index.shape[axis]);
    pane.nv.drawScene();
    this.follow(pane);
  }

  get voxel() {
    return [...this.panes.fixed.nv.frac2vox(this.panes.fixed.nv.scene.crosshairPos)];
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const opacity = element("grid-opacity").value / 100;
      for (const pane of Object.values(this.panes)) pane.drawOver(pane.name === "moving" ? null : this.field, opacity);
      this.arrange();
    });
  }

  // Which pane is above which, and how much of it is seen.
  arrange() {
    const { mode } = this;
    const [first, second] = [element("image-a").value, element("image-b").value];
    const share = element("share").value / 100;
    const cuts = [...this.stage.querySelectorAll(".cuts i")];
    for (const cut of cuts) cut.hidden = true;
    for (const pane of Object.values(this.panes)) {
      const on = mode === "side" || pane.name === first || pane.name === second;
      Object.assign(pane.root.style, { visibility: on ? "visible" : "hidden", zIndex: "", opacity: "", clipPath: "" });
    }
    if (mode === "side") return;
    const { root, canvas, tiles } = this.panes[second];
    root.style.zIndex = 1;
    const now = { flicker: this.second ? second : first }[mode];
    if (mode === "flicker" && first !== second) root.style.visibility = this.second ? "visible" : "hidden";
    if (mode === "blend") root.style.opacity = first === second ? 1 : share;
    if (mode === "swipe" && first !== second) {
      const scale = canvas.clientWidth / canvas.width;
      const path = tiles.map((tile, number) => {
        const [left, top, wide, high] = tile.leftTopWidthHeight.map((value) => value * scale);
        const x = left + share * wide;
        if (cuts[number]) Object.assign(cuts[number].style, { left: `${x}px`, top: `${top}px`, height: `${high}px` });
        if (cuts[number]) cuts[number].hidden = false;
        return `M${x} ${top}H${left + wide}V${top + high}H${x}Z`;
      });
      root.style.clipPath = `path("${path.join("")}")`;
    }
    const words = { flicker: `Showing: ${now}`, swipe: `Left: ${first}\nRight: ${second}`, blend: `${Math.round(100 - 100 * share)} % ${first}\n${Math.round(100 * share)} % ${second}` };
    if (element("legend").textContent !== words[mode]) element("legend").textContent = words[mode];
  }

  setMode() {
    const { mode } = this;
    const show = (selector, on) => (document.querySelector(selector).hidden = !on);
    this.stage.dataset.mode = mode;
    show(".compare", mode !== "side");
    show(".only-drag", mode === "swipe" || mode === "blend");
    show(".only-flicker", mode === "flicker");
    show("#legend", mode !== "side");
    const layout = niivue.MULTIPLANAR_TYPE[mode === "side" ? "ROW" : "GRID"];
    for (const pane of Object.values(this.panes)) {
      pane.nv.opts.multiplanarLayout = layout;
      pane.nv.resizeListener();
    }
    this.flicker();
    this.redraw();
  }

  flicker() {
    clearInterval(this.timer);
    if (this.mode === "flicker" && element("automatic").checked) {
      this.timer = setInterval(() => this.swap(), element("interval").value);
    }
  }

  swap() {
    if (this.mode !== "flicker") return;
    this.second = !this.second;
    this.redraw();
  }

  colours() {
    const on = element("jacobian-on").checked;
    element("colours").hidden = !on;
    const scale = element("jacobian-scale").value;
    const stops = Array.from({ length: 21 }, (_, i) => `rgb(${diverging(i / 10 - 1)})`);
    element("colours").querySelector(".ramp").style.background = `linear-gradient(to right, ${stops})`;
    const ticks = scale === "log" ? [[0.25, "≤ ¼"], [0.5, "½"], [1, "1"], [2, "2"], [4, "≥ 4"]] : [[0, "0"], [0.5, "½"], [1, "1"], [1.5, "1½"], [2, "≥ 2"]];
    element("colours").querySelector(".ticks").replaceChildren(
      ...ticks.map(([det, text]) => {
        const tick = document.createElement("span");
        tick.textContent = text;
        tick.style.left = `${50 + 50 * position[scale](det)}%`;
        return tick;
      }),
    );
  }

  listen() {
    const on = (id, event, act) => element(id).addEventListener(event, act);
    for (const id of ["pair", "run", "grid-on", "jacobian-on", "jacobian-scale"]) on(id, "change", () => this.load());
    for (const id of ["jacobian-on", "jacobian-scale"]) on(id, "change", () => this.colours());
    for (const id of ["image-a", "image-b"]) on(id, "change", () => this.redraw());
    for (const id of ["share", "grid-opacity"]) on(id, "input", () => this.redraw());
    for (const id of ["automatic", "interval"]) on(id, "change", () => this.flicker());
    on("swap", "click", () => this.swap());
    on("controls", "submit", (event) => event.preventDefault());
    on("jacobian-opacity", "input", () => {
      for (const pane of [this.panes.fixed, this.panes.warped]) {
        if (pane.nv.volumes.length > 1) pane.nv.setOpacity(1, element("jacobian-opacity").value / 100);
      }
    });
    for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", () => this.setMode());
    for (const slider of document.querySelectorAll("input[data-axis]")) {
      slider.addEventListener("input", () => {
        const voxel = this.voxel;
        voxel[slider.dataset.axis] = Number(slider.value);
        this.moveTo(voxel);
      });
    }
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1], PageDown: [2, -1], PageUp: [2, 1] };
    element("viewer-body").addEventListener("keydown", (event) => {
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
      if (plain && event.key.toLowerCase() === "f" && event.target.tagName !== "SELECT") this.swap();
      if (!plain || event.target !== this.stage || !moves[event.key]) return;
      event.preventDefault();
      const voxel = this.voxel;
      voxel[moves[event.key][0]] += moves[event.key][1];
      this.moveTo(voxel);
    });
    // NiiVue would take these from the page, which could then not be scrolled over the images; a tap still is a click.
    for (const event of ["wheel", "touchstart", "touchmove", "touchend"]) {
      this.stage.addEventListener(event, (e) => e.stopPropagation(), { capture: true, passive: true });
    }
    this.stage.addEventListener("pointerdown", () => this.stage.focus({ preventScroll: true }));
    new ResizeObserver(() => this.redraw()).observe(this.stage);
  }
}

if (element("stage")) {
  const fail = (text) => {
    element("viewer-failed").textContent = text;
    element("viewer-failed").hidden = false;
    element("viewer-body").hidden = true;
  };
  if (!document.createElement("canvas").getContext("webgl2")) {
    fail("This browser has no WebGL 2, without which the viewer cannot draw; the figures show the same registrations.");
  } else {
    const viewer = new Viewer();
    await viewer.start().catch((error) => {
      fail(`The viewer could not start: ${error.message}`);
      throw error;
    });
    viewer.colours();
    document.documentElement.dataset.viewer = "ready";
  }
}
