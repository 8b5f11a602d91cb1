// Has V8 collect whole heaps less often: data passes through buffers beside a small heap.
import { setFlagsFromString } from 'node:v8';

/** The heap, with the buffers made since the last collection, may become so much larger before the next. */
const percent = 500;

/**
 * For programs that move data. V8 counts the bytes of buffers as growth of the heap, and lets a heap that
 * hardly grows otherwise grow by little: a full collection for each 10 MiB or so received, half of a
 * processor. The price is memory, a few times the heap of some 25 MiB.
 */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}
