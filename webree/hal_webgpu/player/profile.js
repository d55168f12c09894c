/**
 * Times of single dispatches: by timestamps where the device has them, else by waiting for each.
 *
 * Enters: resolved commands. Leaves: µs, one a dispatch, in order.
 *
 * @import { Memory } from "./memory.js"
 * @import { Command, Replayer } from "./replay.js"
 */
import { USAGE } from "./memory.js";
import { Recorder } from "./replay.js";

const QUERIES_PER_SET = 4096; // WebGPU's limit.
const STAMP_BYTES = 8;

/**
 * @param {GPUDevice} device
 * @param {Memory} memory
 * @param {Replayer} replayer
 * @param {Command[]} commands
 * @returns {Promise<Float64Array>}
 */
export async function timeDispatches(device, memory, replayer, commands) {
  const times = [];
  if (device.features.has("timestamp-query")) {
    for (let start = 0; start < commands.length; start += QUERIES_PER_SET / 2) {
      times.push(...(await byTimestamps(device, memory, commands.slice(start, start + QUERIES_PER_SET / 2))));
    }
  } else {
    await device.queue.onSubmittedWorkDone();
    for (const command of commands) times.push(...(await byWaiting(device, replayer, command)));
  }
  return Float64Array.from(times);
}

/** One pass for each dispatch. @param {GPUDevice} device  @param {Memory} memory  @param {Command[]} commands */
async function byTimestamps(device, memory, commands) {
  const count = 2 * commands.filter((command) => command.isDispatch).length;
  const querySet = device.createQuerySet({ type: "timestamp", count: Math.max(2, count) });
  const byteSize = STAMP_BYTES * Math.max(2, count);
  const resolved = device.createBuffer({ size: byteSize, usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC });
  const staging = memory.takeStaging(byteSize);
  const recorder = new Recorder(device);
  let query = 0;
  for (const command of commands) {
    if (command.isDispatch) {
      recorder.openPass = recorder.copies.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: query++, endOfPassWriteIndex: query++ },
      });
    }
    command.run(recorder);
    recorder.endPass();
  }
  if (count) recorder.copies.resolveQuerySet(querySet, 0, count, resolved, 0);
  recorder.copies.copyBufferToBuffer(resolved, 0, staging.buffer, 0, byteSize);
  device.queue.submit([recorder.finish()]);
  const stamps = new BigUint64Array((await memory.readStaging(staging, byteSize)).buffer);
  querySet.destroy();
  resolved.destroy();
  const microseconds = [];
  for (let at = 0; at < count; at += 2) microseconds.push(Number(stamps[at + 1] - stamps[at]) / 1000);
  return microseconds;
}

/** @param {GPUDevice} device  @param {Replayer} replayer  @param {Command} command */
async function byWaiting(device, replayer, command) {
  const start = performance.now();
  replayer.play([command]);
  if (!command.isDispatch) return [];
  await device.queue.onSubmittedWorkDone();
  return [1000 * (performance.now() - start)];
}
