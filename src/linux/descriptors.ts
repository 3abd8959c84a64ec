/**
 * Descriptors that this thread opened by libc, or by fs without a stream: Node knows nothing of them, so they would outlive a
 * thread that dies, and whoever is at the other end would wait for as long as the process lives. What `net` or `dgram` took
 * over is theirs and not held here, nor is what a read in libuv's pool waits for: closed under it, the number could be
 * another's by the time the read begins.
 */
import { closeSync } from 'node:fs';

const held = new Set<number>();

/** Answers the descriptor; closeDescriptor lets it go. */
export function hold(fd: number): number {
  held.add(fd);
  return fd;
}

export function closeDescriptor(fd: number): void {
  held.delete(fd);
  closeSync(fd);
}

/** For a thread that ends of an error: nothing here is used any more. */
export function closeHeld(): void {
  for (const fd of [...held]) closeDescriptor(fd);
}
