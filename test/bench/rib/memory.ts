/** Bytes in use by this process's heap and its buffers, after a collection where `--expose-gc` allows one. */
export const memory = (): number => {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
