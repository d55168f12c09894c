/**
 * The CPU device's engine in a browser: one memory, libraries linked into it, and threads that play command streams.
 *
 * Enters: calls of browser.py, with numbers and typed arrays only. Leaves: results in the memory, copies of its ranges,
 * and one call of `onFailure` for what went wrong behind the caller's back. Everything acts in the order of the calls.
 *
 * Where the page is cross-origin isolated the memory is shared, and workers play; this thread only queues, and never
 * waits. Elsewhere this thread plays at once.
 *
 * @import { Placed } from "./thread.js"
 * @typedef {{player: WebAssembly.Module, libm: WebAssembly.Module}} Parts
 * @typedef {{threads: number, playerFile: Uint8Array, libmFile: Uint8Array, workerUrl: string,
 *     onFailure: (failure: Failure) => void}} Options  threads: 0 plays on this thread
 * @typedef {{kind: "trap" | "lost" | "memory", message: string, library: number, export: number}} Failure
 */
import { inspect, withSharedMemory } from "./library.js";
import { Thread } from "./thread.js";

const PAGE_BYTES = 65536;
const MAXIMUM_PAGES = 65535; // The last page is left out, so that an end address has 32 bits too.
const SMALLEST_MAXIMUM_PAGES = 2048;

/** Free numbers: where libraries and streams stand in the engine's part of the memory, and in the table. */
class Ranges {
  /** @param {number} start  @param {number} end */
  constructor(start, end) {
    this.free = [{ start, end }];
  }

  /** The start of a free range, or -1. @param {number} size  @param {number} align */
  take(size, align = 1) {
    for (const hole of this.free) {
      const start = Math.ceil(hole.start / align) * align;
      if (start + size > hole.end) continue;
      this.free.push({ start: start + size, end: hole.end });
      hole.end = start;
      this.#tidy();
      return start;
    }
    return -1;
  }

  /** @param {number} start  @param {number} size */
  give(start, size) {
    this.free.push({ start, end: start + size });
    this.#tidy();
  }

  #tidy() {
    const holes = this.free.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start);
    this.free = [];
    for (const hole of holes) {
      const last = this.free.at(-1);
      if (last?.end === hole.start) last.end = hole.end;
      else this.free.push(hole);
    }
  }
}
