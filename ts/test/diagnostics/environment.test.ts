import test from 'ava';
import { relevantEnvironment } from '../../src/diagnostics/environment.js';

test('variables that change what the package does, without credentials', (t) => {
  t.deepEqual(
    relevantEnvironment({
      INSTASEG_CACHE: '/cache',
      https_proxy: 'http://me:secret@proxy.example:3128/',
      HTTP_PROXY: 'me:secret@proxy.example:3128',
      NO_PROXY: 'localhost,user:secret@host.example',
      CUDA_VISIBLE_DEVICES: '1',
      NPM_TOKEN: 'secret',
      HOME: '/home/me',
    }),
    {
      CUDA_VISIBLE_DEVICES: '1',
      HTTP_PROXY: '***@proxy.example:3128',
      INSTASEG_CACHE: '/cache',
      NO_PROXY: 'localhost,***@host.example',
      https_proxy: 'http://***@proxy.example:3128/',
    },
  );
});
