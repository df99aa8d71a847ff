/** instaseg devices: where models can run. */
import { listDevices } from '../index.js';
import { EXIT } from './exit.js';
import type { AddCommand } from './program.js';
import { formatTable } from './terminal.js';

export const addDevicesCommand: AddCommand = (program, { terminal }, done) => {
  program
    .command('devices')
    .summary('list the devices that models can run on')
    .description('List the devices that models can run on, and why others cannot be used')
    .option('--json', 'print a JSON array')
    .action(({ json = false }: { json?: boolean }) => {
      const devices = listDevices();
      if (json) terminal.print(JSON.stringify(devices, null, 2));
      else {
        const rows = devices.map((device) => [
          device.name,
          device.available ? 'available' : 'not available',
          device.description,
          device.reason ?? [device.threads && `${device.threads} threads`, device.isa].filter(Boolean).join(', '),
        ]);
        terminal.print(formatTable(rows));
      }
      done(EXIT.ok);
    });
};
