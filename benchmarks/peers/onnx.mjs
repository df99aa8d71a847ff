// Writes ONNX models of one node. ONNX files are protocol buffers (onnx/onnx.proto3); only the fields needed here.

function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest ? low | 0x80 : low);
  } while (rest);
  return Buffer.from(bytes);
}

const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, value) => Buffer.concat([varint((field << 3) | 2), varint(value.length), value]);
const text = (field, value) => bytes(field, Buffer.from(value));
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

const FLOAT = 1;

/** TypeProto of a float tensor. */
function valueInfo(field, name, shape) {
  const dims = shape.map((dim) => message(1, number(1, dim)));
  return message(field, text(1, name), message(2, message(1, number(1, FLOAT), message(2, ...dims))));
}

function initializer(name, { shape, data }) {
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return message(5, ...shape.map((dim) => number(1, dim)), number(2, FLOAT), text(8, name), bytes(9, raw));
}

/** AttributeProto: a list of integers, or one. */
function attribute(name, value) {
  const INT = 2;
  const INTS = 7;
  return Array.isArray(value)
    ? message(5, text(1, name), ...value.map((item) => number(8, item)), number(20, INTS))
    : message(5, text(1, name), number(3, value), number(20, INT));
}

/**
 * A model with one node. `inputs` are shapes by name, `constants` {shape, data} by name; the node takes them in the
 * order of `order`.
 */
export function singleNode(op, { inputs, constants, order, attributes, output, opset = 19 }) {
  const node = message(
    1,
    ...order.map((name) => text(1, name)),
    text(2, 'output'),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  );
  const graph = message(
    7,
    node,
    text(2, op),
    ...Object.entries(constants).map(([name, tensor]) => initializer(name, tensor)),
    ...Object.entries(inputs).map(([name, shape]) => valueInfo(11, name, shape)),
    valueInfo(12, 'output', output),
  );
  return Buffer.concat([number(1, 9), graph, message(8, number(2, opset))]);
}
