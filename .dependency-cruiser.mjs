// Import rules, checked on what `tsc -b` emitted: that is what runs, and it needs no TypeScript parser.
// Imports of types leave no trace there; scripts/check-repository.mjs holds those to the same layers.
import { folderOf, layers, testLayers } from './scripts/layers.mjs';

function alternatives(workspaces) {
  return `^(${workspaces.map(folderOf).join('|')})/`;
}

function importRule(workspace, part, from, allowed) {
  return {
    name: `${workspace}-${part}-imports`,
    comment: `${workspace} imports ${allowed.length === 0 ? 'no other workspace' : `only ${allowed.join(', ')}`}.`,
    severity: 'error',
    from,
    to: { path: '^(packages/[^/]+|bench)/', pathNot: alternatives([workspace, ...allowed]) },
  };
}

export default {
  forbidden: [
    ...Object.entries(layers).flatMap(([workspace, allowed]) => [
      importRule(
        workspace,
        'src',
        { path: `^${folderOf(workspace)}/dist/`, pathNot: '/dist/test/' },
        allowed,
      ),
      importRule(workspace, 'test', { path: `^${folderOf(workspace)}/dist/test/` }, [
        ...allowed,
        ...(testLayers[workspace] ?? []),
      ]),
    ]),
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one concept, or one of them holds two.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-deep-imports',
      comment:
        'A workspace is used through what its index exports; its fakes, by tests, through that of test/support.',
      severity: 'error',
      from: { path: '^(?:packages/)?([^/]+)/dist/' },
      to: {
        path: '^packages/',
        pathNot: ['^packages/$1/', '^packages/[^/]+/dist/(src|test/support)/index[.]js$'],
      },
    },
    {
      name: 'no-test-code-in-src',
      comment: 'What ships does not depend on tests.',
      severity: 'error',
      from: { path: '/dist/', pathNot: '/dist/test/' },
      to: { path: '/dist/test/' },
    },
    {
      name: 'raft-is-pure',
      comment:
        'raft has no I/O: it imports neither Node nor npm (ARCHITECTURE.md, "The folders are the architecture").',
      severity: 'error',
      from: { path: '^packages/raft/dist/src/' },
      to: { dependencyTypes: ['core', 'npm'] },
    },
    {
      name: 'resolvable',
      comment: 'What is imported exists and is declared in the package.json of the importing workspace.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '[.]tsbuildinfo$|[.]d[.]ts|^packages/console/dist/web/' },
    preserveSymlinks: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
