// A process that ends at a stage of its life: `node stage.cjs <stage> <exit|throw|return>`.
const { dirname, join } = require('node:path');

const [stage, how] = process.argv.slice(2);
const scene = () => join(dirname(require.resolve('instaseg/package.json')), 'models/demo/scenes/scene-1.jpg');

function end(reached) {
  if (reached !== stage) return;
  if (how === 'exit') process.exit(7);
  if (how === 'throw') {
    // Outside of promises, as a callback would.
    setImmediate(() => {
      throw new Error('as asked');
    });
  }
  if (how === 'sigterm') process.kill(process.pid, 'SIGTERM');
  process.exitCode = 7;
}

async function main() {
  const { Device, load } = require('instaseg');
  end('required');
  const device = await Device.open('cpu');
  end('device open');
  await device.dispose();
  const loading = load('yolactplus_demo', { device: 'cpu' });
  end('loading');
  const model = await loading;
  end('loaded');
  const running = model.segment(scene());
  end('running');
  await running;
  end('segmented');
  const disposing = model.dispose();
  end('disposing');
  await disposing;
  end('disposed');
}

void main();
