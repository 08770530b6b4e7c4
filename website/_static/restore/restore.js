// The page: takes an image, hands its pixels to the worker, shows the result beside the input.
const element = (id) => document.getElementById(id);
let worker = null;

element("task").addEventListener("change", () => {
  element("scale-label").hidden = element("task").value !== "super-resolution";
});
element("file").addEventListener("change", (event) => restore(event.target.files[0]));
element("slider").addEventListener("input", (event) => {
  element("after").style.clipPath = `inset(0 0 0 ${event.target.value}%)`;
});
element("cancel").addEventListener("click", () => stop("Cancelled."));
const drop = element("drop");
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
  });
}
drop.addEventListener("drop", (event) => restore(event.dataTransfer.files[0]));

function stop(message) {
  worker?.terminate();
  worker = null;
  element("status").textContent = message;
  element("progress").hidden = element("cancel").hidden = true;
}

async function restore(file) {
  if (!file) return;
  stop("Reading the image ...");
  element("result").hidden = true;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return stop(`${file.name} is not an image that this browser can read.`);
  }
  const task = element("task").value;
  const scale = task === "super-resolution" ? Number(element("scale").value) : 1;
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, bitmap.width, bitmap.height);
  element("progress").value = 0;
  element("progress").hidden = element("cancel").hidden = false;
  element("status").textContent = "Loading the network ...";
  const began = performance.now();
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onerror = (event) => stop(`The image could not be restored: ${event.message || "the worker did not start"}`);
  worker.onmessage = ({ data }) => {
    if (data.error) return stop(`The image could not be restored: ${data.error}`);
    if (data.done !== undefined) return showProgress(data.done, data.tiles, began);
    show(data, file.name);
    stop(`Done in ${Math.round((performance.now() - began) / 1000)} s.`);
  };
  const size = { width: image.width, height: image.height };
  worker.postMessage({ pixels: image.data, ...size, task, scale, tile: Number(element("restore").dataset.tile || 256) });
}

function showProgress(done, tiles, began) {
  element("progress").value = done / tiles;
  const left = ((performance.now() - began) * (tiles - done)) / Math.max(done, 1) / 1000;
  const estimate = done ? `, about ${Math.ceil(left)} s left` : "";
  element("status").textContent = `Restoring: ${done} of ${tiles} tiles${estimate} ...`;
}

function show({ before, after, width, height }, name) {
  for (const [id, pixels] of [["before", before], ["after", after]]) {
    const canvas = element(id);
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  }
  element("after").toBlob((blob) => {
    const link = element("download");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.[^.]*$/, "")}-restored.png`;
  });
  element("result").hidden = false;
}
