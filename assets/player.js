// Plays the frames that the server streams. `props.value` is one message, see `messages` in ui/frames.py: every frame since the
// message before. They are spread over the time until the next one comes, as far as a screen can follow.
const MESSAGE_MS = 66, MOST = 32;
const player = element.querySelector(".player");
const [face, noisy] = [player.querySelector(".denoised"), player.querySelector(".noisy")];
let waiting = [], timer = 0;

function show(frame) {
  face.src = frame.denoised;
  noisy.src = frame.noisy;
  face.hidden = noisy.hidden = false;
  player.querySelector(".step").textContent = "Step " + frame.step + " of " + frame.total;
  player.querySelector(".noise").textContent = "Noise level " + frame.noise_level.toFixed(2);
  player.querySelector("progress").value = frame.step / frame.total;
  player.dataset.step = frame.step;
}

function play() {
  timer = 0;
  if (!waiting.length) return;
  show(waiting.splice(0, Math.ceil(waiting.length / MOST)).pop());
  if (waiting.length) timer = setTimeout(play, MESSAGE_MS / (waiting.length + 1));
}

watch("value", () => {
  const message = props.value;
  if (!message) return;
  const frames = message.frames.map(frame => ({...frame, total: message.total}));
  if (frames[0].step === 1) {  // a new run: forget what is left of the one before, and be where it can be seen
    waiting = [];
    player.scrollIntoView({block: "nearest"});
  }
  waiting.push(...frames);
  if (!timer) play();
});

// Until the first run: what every face starts from.
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 64;
const context = canvas.getContext("2d");
const pixels = context.createImageData(64, 64);
for (let i = 0; i < pixels.data.length; i++) pixels.data[i] = i % 4 === 3 ? 255 : 128 + 80 * (Math.random() + Math.random() + Math.random() - 1.5);
context.putImageData(pixels, 0, 0);
noisy.src = canvas.toDataURL();
noisy.hidden = false;
