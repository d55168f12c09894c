/**
 * A worker that is one thread of the CPU device.
 *
 * Enters: messages of engine.js: `start`, `link`, `unlink`, `play` (thread 0 only) and `serve` (all others). Leaves:
 * `{done}` for start, link and play, with what the compiler or the player said if it failed.
 *
 * @import { Failure, Placed, Start } from "./thread.js"
 * @typedef {{start?: Start, link?: Placed, unlink?: number, play?: Uint32Array, serve?: true}} Message
 * @typedef {{done: keyof Message, timeMs?: number, failure?: Failure | null, rejected?: string}} Reply
 */
import { Thread } from "./thread.js";

/** @type {Thread} */
let thread;

/** @param {Reply} reply */
const reply = (reply) => postMessage(reply);

/** @param {Message} message */
function act({ start, link, unlink, play }) {
  if (start) {
    thread = new Thread(start);
    reply({ done: "start" });
  } else if (link) {
    thread.link(link);
    reply({ done: "link" });
  } else if (unlink !== undefined) {
    thread.unlink(unlink);
  } else if (play) {
    const begin = performance.now();
    const failure = thread.play(play);
    reply({ done: "play", timeMs: performance.now() - begin, failure });
  } else {
    const failure = thread.serve();
    if (failure) reply({ done: "serve", failure });
  }
}

onmessage = ({ data }) => {
  try {
    act(data);
  } catch (error) {
    reply({ done: data.link ? "link" : "start", rejected: error instanceof Error ? error.message : String(error) });
  }
};
