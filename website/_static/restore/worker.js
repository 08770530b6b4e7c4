// The work: bicubic enlargement, colour conversion, tiles through the network. As memnet/restoration/arrays.py.
import * as ort from "../ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
ort.env.wasm.wasmPaths = new URL("../ort/", import.meta.url).href;

const OVERLAP = 56; // pixels: less than half a grey level from the whole image
const CHANNELS = { denoising: 3, "super-resolution": 1, jpeg: 1 }; // of Y, Cb, Cr: how many are restored
// BT.601, studio swing, of R, G, B in [0, 1]; MATLAB's rgb2ycbcr and its inverse
const TO_YCBCR = [[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]];
const OFFSET = [16, 128, 128];
const TO_RGB = [[1.1643836, 0, 1.5960269], [1.1643836, -0.3917623, -0.8129677], [1.1643836, 2.0172325, 0]];

self.onmessage = async ({ data }) => {
  try {
    const result = await restore(data);
    self.postMessage(result, [result.before.buffer, result.after.buffer]);
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
};

async function restore({ pixels, width, height, task, scale, tile }) {
  const session = await ort.InferenceSession.create(new URL(`../networks/${task}.onnx`, import.meta.url).href);
  const rgb = [0, 1, 2].map((c) => enlarged(Float32Array.from({ length: width * height }, (_, i) => pixels[4 * i + c] / 255), width, height, scale));
  [width, height] = [width * scale, height * scale];
  const channels = CHANNELS[task];
  const ycbcr = TO_YCBCR.slice(0, channels).map((row, c) =>
    rgb[0].map((_, i) => (row[0] * rgb[0][i] + row[1] * rgb[1][i] + row[2] * rgb[2][i] + OFFSET[c]) / 255));
  const places = tilesOf(width, height, tile);
  const changes = ycbcr.map((channel) => new Float32Array(channel.length));
  let done = 0;
  self.postMessage({ done, tiles: places.length * channels });
  for (const place of places) {
    for (let c = 0; c < channels; c++) {
      await restoreTile(session, ycbcr[c], changes[c], width, place);
      self.postMessage({ done: ++done, tiles: places.length * channels });
    }
  }
  return { before: bytes(rgb, []), after: bytes(rgb, changes), width, height };
}

// What the network adds to the part of a channel that a tile keeps.
async function restoreTile(session, channel, change, width, { seen, kept }) {
  const [w, h] = [seen.right - seen.left, seen.bottom - seen.top];
  const x = new Float32Array(w * h);
  for (let row = 0; row < h; row++) {
    const start = (seen.top + row) * width + seen.left;
    x.set(channel.subarray(start, start + w), row * w);
  }
  const { y } = await session.run({ x: new ort.Tensor("float32", x, [1, 1, h, w]) });
  for (let row = kept.top; row < kept.bottom; row++) {
    for (let column = kept.left; column < kept.right; column++) {
      const within = (row - seen.top) * w + column - seen.left;
      change[row * width + column] = y.data[within] - x[within];
    }
  }
}

function tilesOf(width, height, size) {
  const places = [];
  for (let top = 0; top < height; top += size) {
    for (let left = 0; left < width; left += size) {
      const kept = { top, left, bottom: Math.min(top + size, height), right: Math.min(left + size, width) };
      const seen = {
        top: Math.max(kept.top - OVERLAP, 0),
        left: Math.max(kept.left - OVERLAP, 0),
        bottom: Math.min(kept.bottom + OVERLAP, height),
        right: Math.min(kept.right + OVERLAP, width),
      };
      places.push({ seen, kept });
    }
  }
  return places;
}

// Interleaved RGBA bytes of three channels, with the changes of the first of Y, Cb and Cr added.
function bytes(rgb, changes) {
  const pixels = new Uint8ClampedArray(4 * rgb[0].length); // rounds and clips
  for (let i = 0; i < rgb[0].length; i++) {
    for (let c = 0; c < 3; c++) {
      pixels[4 * i + c] = 255 * changes.reduce((sum, change, k) => sum + TO_RGB[c][k] * change[i], rgb[c][i]);
    }
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

// Bicubic as MATLAB's imresize: a = -0.5, symmetric borders; rows, then columns.
function enlarged(channel, width, height, scale) {
  if (scale === 1) return channel;
  const [rows, columns] = [taps(height, scale), taps(width, scale)];
  const wide = new Float32Array(height * width * scale);
  for (let row = 0; row < height; row++) {
    columns.forEach((column, i) => {
      wide[row * width * scale + i] = column.reduce((sum, [k, weight]) => sum + weight * channel[row * width + k], 0);
    });
  }
  const large = new Float32Array(wide.length * scale);
  rows.forEach((row, i) => {
    for (let column = 0; column < width * scale; column++) {
      large[i * width * scale + column] = row.reduce((sum, [k, weight]) => sum + weight * wide[k * width * scale + column], 0);
    }
  });
  return large;
}

// For each enlarged position, its four [index, weight].
function taps(length, scale) {
  return Array.from({ length: length * scale }, (_, i) => {
    const centre = (i + 0.5) / scale - 0.5;
    const first = Math.floor(centre) - 1;
    return [0, 1, 2, 3].map((k) => [mirrored(first + k, length), cubic(Math.abs(centre - first - k))]);
  });
}

function cubic(t) {
  return t <= 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

function mirrored(index, length) {
  const period = ((index % (2 * length)) + 2 * length) % (2 * length);
  return period < length ? period : 2 * length - 1 - period;
}
