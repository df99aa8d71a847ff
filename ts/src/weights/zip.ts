import { pipeline, Readable } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import yauzl from 'yauzl';
import { InstasegError } from '../runtime/errors.js';
import { CHUNK_BYTES, type SourceFile } from './source-file.js';
import { checkpointError } from './tensor-info.js';

/** One file inside a zip archive; sizes in bytes. */
export interface ZipEntry {
  readonly name: string;
  readonly size: number;
}

export interface ZipArchive {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /**
   * The unpacked bytes [start, end) of an entry (by default all) in chunks of at most 4 MiB. The CRC-32 of the whole
   * entry is checked before the last chunk is handed out, or, for a part of an entry, before the first one.
   */
  read(entry: ZipEntry, start?: number, end?: number): AsyncGenerator<Uint8Array, void, undefined>;
  /** Checks the CRC-32 of every entry, but those that have been checked before. */
  verify(): Promise<void>;
}

// What is used of yauzl 3; the published types describe version 2.
type RawEntry = ZipEntry & yauzl.Entry;
interface Directory {
  readonly entryCount: number;
  on(event: 'error', listener: () => void): void;
  eachEntry(): AsyncIterable<yauzl.Entry>;
  readLocalFileHeaderPromise(entry: yauzl.Entry, options: { minimal: true }): Promise<{ fileDataStart: number }>;
}
const { fromRandomAccessReaderPromise } = yauzl as unknown as {
  fromRandomAccessReaderPromise(this: void, reader: object, size: number, options: yauzl.Options): Promise<Directory>;
};

const STORED = 0;
const DEFLATED = 8;

/** A checkpoint has one entry a tensor; beyond this the directory alone would fill the memory. */
const MAX_ENTRIES = 1_000_000;

/** Reads the directory of a zip archive (zip64 included). Entries may be stored or deflated, not encrypted. */
export async function openZip(file: SourceFile): Promise<ZipArchive> {
  const directory = await fromRandomAccessReaderPromise(new FileReader(file), file.size, { autoClose: false }).catch(
    (error: unknown) => {
      throw zipError(file, error);
    },
  );
  directory.on('error', () => undefined); // every error also rejects the call that met it
  const entries = await readDirectory(file, directory);
  /** Entries whose checksum has been seen to be right. */
  const verified = new Set<ZipEntry>();

  async function dataStart(entry: RawEntry): Promise<number> {
    const header = directory.readLocalFileHeaderPromise(entry, { minimal: true });
    const { fileDataStart } = await header.catch((error: unknown) => {
      throw zipError(file, error);
    });
    return fileDataStart;
  }

  async function* unpack(entry: RawEntry): AsyncGenerator<Uint8Array, void, undefined> {
    const start = await dataStart(entry);
    const packed = file.read(start, start + entry.compressedSize);
    yield* entry.compressionMethod === STORED ? packed : inflate(file, packed);
  }

  async function* readAll(entry: RawEntry): AsyncGenerator<Uint8Array, void, undefined> {
    let done = 0;
    let checksum = 0;
    for await (const chunk of unpack(entry)) {
      done += chunk.length;
      checksum = crc32(chunk, checksum);
      if (done > entry.size) throw checkpointError(file.path, `zip entry ${entry.name} unpacks to more than it states`);
      if (done === entry.size) checkChecksum(file, entry, checksum);
      yield chunk;
    }
    if (done < entry.size) throw checkpointError(file.path, `zip entry ${entry.name} unpacks to less than it states`);
    checkChecksum(file, entry, checksum);
    verified.add(entry);
  }

  async function verify(entry: RawEntry): Promise<void> {
    if (!verified.has(entry)) for await (const chunk of readAll(entry)) void chunk;
  }

  async function* readPart(entry: RawEntry, start: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    await verify(entry);
    if (entry.compressionMethod === STORED) {
      const from = await dataStart(entry);
      yield* file.read(from + start, from + end);
      return;
    }
    let at = 0;
    for await (const chunk of unpack(entry)) {
      const part = chunk.subarray(Math.max(start - at, 0), Math.max(end - at, 0));
      if (part.length > 0) yield part;
      at += chunk.length;
      if (at >= end) return;
    }
  }

  return {
    entries,
    read: (entry, start = 0, end = entry.size) => {
      const raw = entry as RawEntry;
      return start === 0 && end === entry.size ? readAll(raw) : readPart(raw, start, end);
    },
    verify: async () => {
      for (const entry of entries.values()) await verify(entry);
    },
  };
}

async function readDirectory(file: SourceFile, directory: Directory): Promise<Map<string, RawEntry>> {
  const entries = new Map<string, RawEntry>();
  let packed = 0;
  if (directory.entryCount > MAX_ENTRIES) {
    throw checkpointError(
      file.path,
      `the zip archive has ${directory.entryCount} entries, the limit is ${MAX_ENTRIES}`,
    );
  }
  try {
    for await (const entry of directory.eachEntry()) {
      const { fileName: name, uncompressedSize: size } = entry;
      // Two entries of one name are read differently by different programs.
      if (entries.has(name)) throw checkpointError(file.path, `the zip archive has ${name} twice`);
      if (entry.isEncrypted()) throw checkpointError(file.path, `zip entry ${name} is encrypted`);
      if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
        throw checkpointError(
          file.path,
          `zip entry ${name} has the unsupported compression ${entry.compressionMethod}`,
        );
      }
      packed += entry.compressedSize;
      if (packed > file.size) throw checkpointError(file.path, 'the entries of the zip archive overlap');
      entries.set(name, Object.assign(entry, { name, size }));
    }
  } catch (error) {
    throw zipError(file, error);
  }
  return entries;
}

async function* inflate(file: SourceFile, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unpacked = createInflateRaw({ chunkSize: CHUNK_BYTES / 16 });
  pipeline(Readable.from(packed), unpacked, () => undefined); // an error also ends `unpacked`, which throws it below
  try {
    yield* unpacked as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw zipError(file, error);
  }
}

function checkChecksum(file: SourceFile, entry: RawEntry, checksum: number): void {
  if (checksum === entry.crc32) return;
  throw checkpointError(
    file.path,
    `the checksum of ${entry.name} is wrong: the file is damaged (or was saved with PyTorch's checksums switched off)`,
  );
}

function zipError(file: SourceFile, error: unknown): InstasegError {
  file.signal?.throwIfAborted(); // an abort is not damage
  if (error instanceof InstasegError) return error;
  return checkpointError(file.path, `is a damaged or truncated zip archive (${(error as Error).message})`, error);
}

/** Lets yauzl read from a file that it does not own. */
class FileReader extends yauzl.RandomAccessReader {
  constructor(private readonly file: SourceFile) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    const end = Math.min(position + length, this.file.size);
    this.file.bytes(Math.min(position, end), end).then(
      (bytes) => callback(null, bytes.copy(buffer, offset)),
      (error: Error) => callback(error),
    );
  }
}
