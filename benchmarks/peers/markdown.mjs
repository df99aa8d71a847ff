// The report as a page.

const TITLES = { machine: 'The machine as it is', avx2: 'Every side held to AVX2' };

/** The ratios that we set ourselves for the convolutions, on the geometric mean of the shapes. */
const AIMS = [
  { what: '3x3 convolutions of stride 1', group: '3x3 s1', aims: { 'onnxruntime-node': 3 } },
  { what: '1x1 convolutions', group: '1x1', aims: { 'onnxruntime-node': 1.2 } },
  { what: 'deformable convolutions', group: 'deformable', aims: { 'onnxruntime-node': 1.5 } },
  { what: 'other convolutions', group: 'other', aims: {} },
];
/** Of a peer's peak memory. */
const MEMORY_AIM = { 'onnxruntime-node': 0.5 };

export const geometricMean = (values) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

const table = (header, rows) =>
  [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const mb = (bytes) => (bytes === null ? '' : `${Math.round(bytes / 1e6)} MB`);

const verdict = (met, aim) => (aim === undefined || aim === null ? '' : met ? 'met' : '**missed**');

/** A line of the summary: the ratio is to be at least the aim. */
function line(what, reached, aim) {
  return [what, reached.toFixed(2), aim ? `${aim} or more` : '', verdict(reached >= aim, aim)];
}

function summary(rows) {
  const peers = [...new Set(rows.map(({ peerName }) => peerName))];
  const convolutions = AIMS.flatMap(({ what, group, aims }) =>
    peers.flatMap((peer) => {
      const chosen = rows.filter((row) => row.work === group && row.peerName === peer);
      if (chosen.length === 0) return [];
      // Each shape once, and each as often as the two networks have it.
      const layers = chosen.flatMap((row) => Array(row.layers).fill(row.ratio));
      const all = `${what}, ${chosen.length} shapes, against ${peer}`;
      return [
        line(all, geometricMean(chosen.map(({ ratio }) => ratio)), aims[peer]),
        line(`the same, each of the ${layers.length} layers of both networks`, geometricMean(layers)),
      ];
    }),
  );
  const networks = rows.filter(({ agreement }) => agreement);
  const times = networks.map((row) => line(`${row.work}, against ${row.peerName}`, row.ratio, row.aim));
  const memory = networks
    .filter(({ memoryRatio }) => memoryRatio)
    .map((row) => {
      const aim = MEMORY_AIM[row.peerName];
      return [
        `peak memory, ${row.work}, over that of ${row.peerName}`,
        row.memoryRatio.toFixed(2),
        aim ? `${aim} or less` : '',
        verdict(row.memoryRatio <= aim, aim),
      ];
    });
  return table(['Work', 'Reached', 'Aim', ''], [...convolutions, ...times, ...memory]);
}

function convolutionTable(rows) {
  const groups = ['3x3 s1', '1x1', 'deformable', 'other'];
  const sorted = rows
    .filter(({ work }) => groups.includes(work))
    .toSorted((a, b) => groups.indexOf(a.work) - groups.indexOf(b.work) || a.ratio - b.ratio);
  return table(
    [
      'Work',
      'Kernel/stride, channels, N x H x W',
      'Layers',
      'Ours, ms',
      'Peer, ms',
      'Ratio',
      'of medians',
      'GFLOP/s',
      'theirs',
      'Our kernel',
    ],
    sorted.map((row) => [
      row.work,
      row.shape,
      row.layers,
      row.ours,
      row.peer,
      row.ratio < 1 ? `**${row.ratio}** (slower)` : row.ratio,
      row.ratioOfMedians,
      row.gflops,
      row.peerGflops,
      row.variant,
    ]),
  );
}

function modelTable(rows) {
  return table(
    [
      'Network',
      'Peer',
      'Ours, s',
      'Peer, s',
      'Ratio',
      'of medians',
      'Our memory',
      'Peer memory',
      'Ratio',
      'Detections that agree',
    ],
    rows
      .filter(({ agreement }) => agreement)
      .map((row) => [
        row.work,
        row.peerName,
        (row.ours / 1000).toFixed(3),
        (row.peer / 1000).toFixed(3),
        row.ratio < 1 ? `**${row.ratio}** (slower)` : row.ratio,
        row.ratioOfMedians,
        mb(row.memoryOurs),
        mb(row.memoryPeer),
        row.memoryRatio ?? '',
        `${row.agreement.matched} of ${row.agreement.detections}`,
      ]),
  );
}

function describeSide(side) {
  const more = [side.isa, side.capability, side.torchvision && `torchvision ${side.torchvision}`, side.operators];
  return `- ${side.name} ${side.version}${more
    .filter(Boolean)
    .map((text) => `, ${text}`)
    .join('')}`;
}

export function markdown(report) {
  const { machine } = report;
  const lines = [
    '# instaseg against onnxruntime-node and PyTorch',
    '',
    `${report.date.slice(0, 10)}, commit ${report.commit ?? report.version}. ${machine.cpu}, ${machine.logicalCores} logical cores ` +
      `(up to ${machine.isa}), ${Math.round(machine.memory / 2 ** 30)} GiB, ${machine.platform}, Node ${machine.node}; ` +
      `${report.threads} threads a side; load average ${machine.loadAverage.toFixed(1)} when it began. Made by ` +
      '`npm run bench:peers`; docs/benchmarks.md says how it is measured.',
    '',
    'Times are minima, the sides taking turns in one run; ratio = peer / ours, so above 1 instaseg is faster. ' +
      'Figures are worth something only as ratios of one run.',
  ];
  for (const { section, sides } of report.sections) {
    const rows = report.rows.filter((row) => row.section === section);
    lines.push('', `## ${TITLES[section]}`, '', ...sides.map(describeSide), '', summary(rows));
    if (rows.some(({ agreement }) => agreement)) lines.push('', '### Networks', '', modelTable(rows));
    const convolutions = rows.filter(({ variant }) => variant);
    for (const peer of new Set(convolutions.map(({ peerName }) => peerName))) {
      const against = convolutions.filter(({ peerName }) => peerName === peer);
      const slower = against.filter(({ ratio }) => ratio < 1).length;
      lines.push('', `### Convolutions, against ${peer}`, '');
      lines.push(`${slower} of ${against.length} are slower than the peer's. The slowest of each kind first.`);
      lines.push('', convolutionTable(against));
    }
    const failures = report.failures.filter((failure) => failure.section === section);
    if (failures.length > 0) {
      lines.push('', '### Not measured', '', ...failures.map((f) => `- ${f.work} ${f.shape}: ${f.message}`));
    }
  }
  return `${lines.join('\n')}\n`;
}
