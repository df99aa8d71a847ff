// The report as a page.

const TITLES = { machine: 'The machine as it is', avx2: 'Every side held to AVX2' };

const TARGETS = [
  { what: '3x3 convolutions of stride 1, geometric mean', group: '3x3 s1', peer: 'onnxruntime-node', least: 3 },
  { what: '1x1 convolutions, geometric mean', group: '1x1', peer: 'onnxruntime-node', least: 1.2 },
  { what: 'deformable convolutions, geometric mean', group: 'deformable', peer: 'onnxruntime-node', least: 1.5 },
  {
    what: 'Mask R-CNN R50-FPN, image 1088x800',
    group: 'Mask R-CNN R50-FPN, image 1088x800',
    peer: 'onnxruntime-node',
    least: 6,
  },
  {
    what: 'Mask R-CNN R50-FPN, image 1088x800',
    group: 'Mask R-CNN R50-FPN, image 1088x800',
    peer: 'PyTorch',
    least: 4,
  },
  { what: 'YOLACT++ R50', group: 'YOLACT++ R50, image 640x480', peer: 'onnxruntime-node', least: 2.2 },
];

export const geometricMean = (values) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

const table = (header, rows) =>
  [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const mb = (bytes) => (bytes === null ? '' : `${Math.round(bytes / 1e6)} MB`);

function summary(rows) {
  const lines = TARGETS.flatMap(({ what, group, peer, least }) => {
    const ratios = rows.filter((row) => row.work === group && row.peerName === peer).map(({ ratio }) => ratio);
    if (ratios.length === 0) return [];
    const reached = geometricMean(ratios);
    return [
      [`${what}, against ${peer}`, reached.toFixed(2), `${least} or more`, reached >= least ? 'met' : '**missed**'],
    ];
  });
  const memory = rows
    .filter(({ memoryRatio }) => memoryRatio)
    .map((row) => [
      `peak memory, ${row.work}, over that of ${row.peerName}`,
      row.memoryRatio.toFixed(2),
      '0.5 or less',
      row.memoryRatio <= 0.5 ? 'met' : '**missed**',
    ]);
  return table(['Work', 'Reached', 'Aim', ''], [...lines, ...memory]);
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
      'Ours, ms',
      'onnxruntime, ms',
      'Ratio',
      'of medians',
      'GFLOP/s',
      'theirs',
      'Our kernel',
    ],
    sorted.map((row) => [
      row.work,
      row.shape,
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
    'Times are minima, the calls of the sides alternating in one run; ratio = peer / ours, so above 1 instaseg is faster. ' +
      'Figures are worth something only as ratios of one run.',
  ];
  for (const { section, sides } of report.sections) {
    const rows = report.rows.filter((row) => row.section === section);
    lines.push('', `## ${TITLES[section]}`, '', ...sides.map(describeSide), '', summary(rows));
    if (rows.some(({ agreement }) => agreement)) lines.push('', '### Networks', '', modelTable(rows));
    if (rows.some(({ variant }) => variant)) {
      const slower = rows.filter(({ variant, ratio }) => variant && ratio < 1).length;
      const count = rows.filter(({ variant }) => variant).length;
      lines.push(
        '',
        '### Convolutions',
        '',
        `${slower} of ${count} are slower than onnxruntime's. The slowest of each kind first.`,
      );
      lines.push('', convolutionTable(rows));
    }
  }
  return `${lines.join('\n')}\n`;
}
