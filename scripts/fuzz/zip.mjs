// Zip archives taken apart and put together again.
import { crc32 } from 'node:zlib';

/** The stored entries of a zip archive, by a scan for local headers. */
export function zipEntries(bytes) {
  const entries = [];
  for (let at = 0; (at = bytes.indexOf('PK\x03\x04', at, 'latin1')) >= 0; at += 4) {
    if (at + 30 > bytes.length) return undefined;
    const [name, extra] = [bytes.readUInt16LE(at + 26), bytes.readUInt16LE(at + 28)];
    const [method, size] = [bytes.readUInt16LE(at + 8), bytes.readUInt32LE(at + 18)];
    const start = at + 30 + name + extra;
    if (method !== 0 || start + size > bytes.length) return undefined;
    entries.push({
      name: bytes.toString('latin1', at + 30, at + 30 + name),
      data: bytes.subarray(start, start + size),
    });
  }
  return entries.some(({ name }) => name.endsWith('/data.pkl')) ? entries : undefined;
}

/** A zip archive with right checksums, so that what is inside is looked at. */
export function makeZip(entries) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, data } of entries) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name, 'latin1'), data]);
    directory.push(Buffer.from('PK\x01\x02\x14\0'), common, rest, Buffer.from(name, 'latin1'));
    parts.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listing, end]);
}
