// The one check of every store: a call outside the disk is a bug of the caller.

export function checkRange(size: number, offset: number, length: number): void {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (!whole || offset < 0 || length < 0 || offset + length > size) {
    throw new RangeError(`offset ${offset}, length ${length} is outside a disk of ${size} bytes`);
  }
}
