// POSIX.1-1988 (ustar): a header block and the content, filled up to whole blocks; two empty blocks at the end.
const BLOCK = 512;

export const tarEnd = Buffer.alloc(2 * BLOCK);

/** A name longer than 100 bytes is split at a slash into a prefix of at most 155 and the rest. */
function splitName(path) {
  if (path.length <= 100) return { prefix: '', name: path };
  for (let at = path.indexOf('/'); at >= 0 && at <= 155; at = path.indexOf('/', at + 1))
    if (path.length - at - 1 <= 100) return { prefix: path.slice(0, at), name: path.slice(at + 1) };
  throw new Error(`${path} is too long for a tar`);
}

/** One entry as buffers: a file of `bytes` or of `parts`, a symbolic link to `link`, or a directory (its path ends with a slash). */
export function tarEntry({ path, mode, bytes, parts = bytes === undefined ? [] : [bytes], link, kind }) {
  const content = link === undefined && kind !== 'directory' ? parts : [];
  const size = content.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(BLOCK);
  const octal = (value, at, width) => header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
  const { prefix, name } = splitName(path);
  header.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  header.write('        0', 148);
  header.write(kind === 'directory' ? '5' : link === undefined ? '0' : '2', 156);
  header.write(link ?? '', 157);
  header.write('ustar\u000000', 257);
  header.write(prefix, 345);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return [header, ...content, Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)];
}
