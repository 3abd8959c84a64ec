// Builds dist/ (or the directory that is named): one bundle of the command and one file for each thread of the agent, beside what they read at run time.
// `node dist/main.js` is then the whole program; dist/node_modules holds the one package that has a native part.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const dist = resolve(process.argv[2] ?? join(root, 'dist'));
const { threadEntries } = await import(join(root, 'src/agent/entries.ts'));

const entryPoints = { main: join(root, 'src/main.ts') };
for (const [name, path] of Object.entries(threadEntries)) entryPoints[`thread-${name}`] = join(root, 'src/agent', path);

/** The demo builds networks of namespaces from the sources; a bundle has none. */
const withoutDemo = {
  name: 'without-demo',
  setup(api) {
    api.onResolve({ filter: /^\.\/demo\/main\.ts$/ }, () => ({ path: 'demo', namespace: 'left-out' }));
    api.onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({
      contents:
        "export function runDemo() { process.stderr.write('flatroute: the demo runs from a checkout of the sources: npm run demo\\n'); return Promise.resolve(2); }",
    }));
  },
};

/**
 * Of the Kubernetes client only the reading of kubeconfig files and credentials is used. Its package does not say that its
 * modules do nothing when they are loaded, so the models of every kind would be kept; and it brings an HTTP library that is
 * never called here. Without both the agent is 20 MiB smaller.
 */
const leanKubernetes = {
  name: 'lean-kubernetes',
  setup(api) {
    // esbuild would look for each of its thousand files anew, for twelve seconds; a relative path says where it is.
    api.onResolve({ filter: /^\./ }, ({ path, importer, resolveDir }) => {
      const file = join(resolveDir, path);
      return importer.includes('/@kubernetes/client-node/') && existsSync(file) && statSync(file).isFile()
        ? { path: file, sideEffects: false }
        : undefined;
    });
    api.onResolve({ filter: /^@kubernetes\/client-node/ }, async ({ path, pluginData, ...from }) => {
      if (pluginData === 'asked') return undefined;
      const { kind, importer, namespace, resolveDir } = from;
      const found = await api.resolve(path, { kind, importer, namespace, resolveDir, pluginData: 'asked' });
      return found.errors.length === 0 ? { path: found.path, sideEffects: false } : { errors: found.errors };
    });
    api.onResolve({ filter: /^undici$/ }, () => ({ path: 'undici', namespace: 'never-called', sideEffects: false }));
    api.onLoad({ filter: /.*/, namespace: 'never-called' }, () => ({
      contents:
        "class NotHere { constructor() { throw new Error('the bundle has no undici'); } } export { NotHere as Agent, NotHere as ProxyAgent, NotHere as fetch };",
    }));
  },
};

rmSync(dist, { recursive: true, force: true });
const result = await build({
  entryPoints,
  outdir: dist,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  minifySyntax: true,
  legalComments: 'none',
  // Packages in CommonJS call require() for Node's own modules.
  banner: {
    js: "import { createRequire as flatrouteRequire } from 'node:module'; const require = flatrouteRequire(import.meta.url);",
  },
  external: ['koffi'],
  plugins: [withoutDemo, leanKubernetes],
  metafile: true,
  logLevel: 'warning',
});

const copy = (from, to, filter) => {
  mkdirSync(dirname(join(dist, to)), { recursive: true });
  cpSync(join(root, from), join(dist, to), { recursive: true, filter });
};
/** Of a package with a native part what Node loads: neither its C++ nor its pages. */
const loaded = (path) =>
  statSync(path).isDirectory() ? !/\/(doc|vendor|lib)$/.test(path) : /(\.c?js|\.json|\.node|LICENSE.*)$/.test(path);
copy('proto', 'proto');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
writeFileSync(
  join(dist, 'package.json'),
  `${JSON.stringify({ name: 'flatroute', version, type: 'module', private: true }, null, 2)}\n`,
);
for (const name of ['koffi', '@koromix']) {
  if (existsSync(join(root, 'node_modules', name)))
    copy(join('node_modules', name), join('node_modules', name), loaded);
}
// Present when `npm run build:plugin` ran before; `flatroute cni install` of the bundle looks for it here.
if (existsSync(join(root, 'build/flatroute-cni'))) copy('build/flatroute-cni', 'flatroute-cni');

const bytes = Object.values(result.metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
console.log(
  `dist/: ${readdirSync(dist).filter((name) => name.endsWith('.js')).length} files, ${(bytes / 1e6).toFixed(1)} MB, without packages`,
);
