// Addresses for Services on a real API server, by the real `flatroute controller` with the rights of its ServiceAccount: what cannot
// be, told to the one who asked; and two replicas, each of which is stopped in the middle of its work, past its lease, and
// goes on when the other leads. Whatever happens, no address has two Services, and none that nobody changed is lost.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { type ApiStore, apiStore } from '#kubernetes/io/client.ts';
import { eventType } from '#kubernetes/events.ts';
import { leaseType } from '#kubernetes/lease.ts';
import { type ApiObject, isApiError, keyOf } from '#kubernetes/store.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { ipReservation } from '#resources/ip-reservation.ts';
import { serviceAddress } from '#resources/service-address.ts';
import { namespace } from '#resources/core.ts';
import { serviceType } from '#sources/kubernetes/services.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { seededRandom } from '../support/random.ts';
import { impossible, serviceObject, type ServiceForm, wishWorld } from '../support/service-wishes.ts';
import { step } from './steps.ts';
import { apiServer } from './support.ts';

const system = 'flatroute-system';
const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const random = seededRandom(seed);
const addressType = typeOf(serviceAddress);

let plane: ControlPlane;
let admin: ApiStore;
let kubeconfig: string;
const replicas = new Map<string, LabProcess>();

before(async () => {
  plane = await apiServer();
  await step('accounts and rights', plane.run(['apply', '-k', resolve('deploy/kustomize')]));
  const access = await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters']));
  admin = apiStore({ access, userAgent: 'addresses-test' });
  const token = await plane.serviceAccountToken(system, 'flatroute-controller');
  kubeconfig = await plane.tokenKubeconfig('controller', token);
  for (const one of wishWorld.namespaces) await admin.create(typeOf(namespace), one);
  for (const one of wishWorld.pools) await admin.create(typeOf(ipPool), one);
  for (const one of wishWorld.reservations) await admin.create(typeOf(ipReservation), one);
  admin.watch(serviceType, { keep: seen, changed: (all, keys) => look(all, keys) });
});

after(async () => {
  for (const one of replicas.values()) {
    one.kill('SIGCONT');
    one.kill('SIGTERM');
    await one.exited;
  }
  await admin.close();
});

async function start(name: string): Promise<void> {
  const words = ['controller', `--kubeconfig=${kubeconfig}`, `--identity=${name}`, '--lease-duration=4s'];
  const argv = [process.execPath, resolve('src/main.ts'), ...words];
  replicas.set(name, await plane.host.spawn(argv, { log: `${name}.log` }));
}

interface Seen {
  readonly addresses: readonly string[];
  readonly key: string | undefined;
  readonly reason: string | undefined;
  readonly message: string;
}

interface Status {
  readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] };
  readonly conditions?: readonly { readonly type: string; readonly reason: string; readonly message: string }[];
}

function seen(object: ApiObject): Seen {
  const status = (object['status'] ?? {}) as Status;
  const condition = status.conditions?.find(({ type }) => type === 'flatroute.io/AddressAssigned');
  return {
    addresses: (status.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []),
    key: object.metadata.annotations?.['flatroute.io/sharing-key'],
    reason: condition?.reason,
    message: condition?.message ?? '',
  };
}

/** Of all Services, as the watch tells it: in the order in which things happened. */
let services: ReadonlyMap<string, Seen> = new Map();
/** What they had when nobody was to change it any more. */
const steady = new Map<string, string>();
const failures: string[] = [];

function look(all: ReadonlyMap<string, Seen>, keys: ReadonlySet<string>): void {
  services = all;
  const owners = new Map<string, string>();
  for (const [name, { addresses, key }] of all)
    for (const address of addresses) {
      const other = owners.get(address);
      if (other !== undefined && key === undefined) failures.push(`${name} and ${other} both have ${address}`);
      owners.set(address, name);
    }
  for (const name of keys) {
    const wanted = steady.get(name);
    const has = String(all.get(name)?.addresses);
    if (wanted !== undefined && has !== wanted) failures.push(`${name} had ${wanted} and has ${has}`);
  }
}

const nameOf = ({ name, namespace: its = 'shop' }: ServiceForm): string => `${its}/${name}`;
const make = async (form: ServiceForm): Promise<ApiObject> => await admin.create(serviceType, serviceObject(form));

async function until(what: string, missing: () => readonly string[], within = seconds(120)): Promise<void> {
  await waitFor(
    what,
    async () => {
      const rest = missing();
      return await Promise.resolve(rest.length === 0 ? found(undefined) : notYet(rest.slice(0, 5).join('; ')));
    },
    { deadline: within },
  );
}

/** Those that have none, and of which nobody said why. */
const withoutAddresses = (names: Iterable<string>): readonly string[] =>
  [...names].filter((name) => {
    const it = services.get(name);
    return it === undefined || (it.addresses.length === 0 && it.reason === undefined);
  });

test('what cannot be is refused on the Service and in an Event, with what to do', async () => {
  await start('one');
  for (const [form, wanted] of wishWorld.contented) {
    await make(form);
    const name = nameOf(form);
    await until(`${name} to have ${String(wanted)}`, () => {
      const has = services.get(name);
      return String(has?.addresses) === String(wanted) ? [] : [`${String(has?.addresses)} ${has?.message}`];
    });
  }
  await start('two');
  const wishes = impossible.map(([what, form, reason, sentence], index) => {
    const whole: ServiceForm = { ...form, name: `wish-${index}` };
    return { what, form: whole, reason, sentence, name: nameOf(whole) };
  });
  await Promise.all(wishes.map(async ({ form }) => await make(form)));
  await until('a word about each', () =>
    wishes.flatMap(({ what, name }) => (services.get(name)?.reason === undefined ? [what] : [])),
  );
  for (const { what, reason, sentence, name } of wishes) {
    const said = services.get(name);
    assert.equal(said?.reason, reason, what);
    assert.match(said.message, sentence, what);
    assert.deepEqual(said.addresses, [], what);
  }
  // The sender of Events sends ten at once, and then one in a second.
  await waitFor(
    'Events',
    async () => {
      const events = await admin.list(eventType, { namespace: 'shop' });
      const refused = events.filter(
        (one) => one['type'] === 'Warning' && one['reportingController'] === 'flatroute.io/controller',
      );
      return refused.length >= 5 ? found(undefined) : notYet(`${refused.length} Events`);
    },
    { deadline: seconds(90), every: milliseconds(200) },
  );
  for (const { form } of wishes) await admin.remove(serviceType, form.name, { namespace: form.namespace ?? 'shop' });
  assert.deepEqual(failures, []);
});

const holder = async (): Promise<string> => {
  const lease = await admin.get(leaseType, 'flatroute-controller', system);
  return String((lease?.['spec'] as { holderIdentity?: string } | undefined)?.holderIdentity).split('_')[0] ?? '';
};

async function leaderIs(wanted: (name: string) => boolean): Promise<string> {
  return await waitFor(
    'another leader',
    async () => {
      const name = await holder();
      return wanted(name) ? found(name) : notYet(`${name} leads`);
    },
    { deadline: seconds(120), every: milliseconds(50) },
  );
}

/** Services that come and go; each call goes on with others. */
const coming = new Set<string>();
let serial = 0;

async function come(count: number): Promise<void> {
  const forms = Array.from({ length: count }, (): ServiceForm => {
    serial += 1;
    const dual = random.unit() < 0.3 ? { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] } : {};
    const shared = random.unit() < 0.3;
    return {
      name: `guest-${serial}`,
      annotations: shared ? { 'flatroute.io/sharing-key': `key-${random.below(3)}` } : {},
      spec: { ...dual, ports: [{ name: 'web', protocol: 'TCP', port: shared ? 1000 + serial : 80 }] },
    };
  });
  for (const form of forms) coming.add(nameOf(form));
  await Promise.all(forms.map(make));
}

async function go(count: number): Promise<void> {
  const names = [...coming].slice(0, count);
  for (const name of names) coming.delete(name);
  await Promise.all(
    names.map(async (name) => await admin.remove(serviceType, name.split('/')[1] ?? '', { namespace: 'shop' })),
  );
}

/** Another address is asked for, or another family. */
async function change(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const [, name = ''] = random.pick([...coming]).split('/');
    const annotations = { 'flatroute.io/addresses': `10.70.0.${100 + random.below(100)}` };
    await admin
      .patch(serviceType, name, { metadata: { annotations } }, { namespace: 'shop' })
      .catch((error: unknown) => {
        if (!isApiError(error, 'API_NOT_FOUND')) throw error;
      });
  }
}

/** Who has what by the claims: `address namespace/name`. */
async function claimed(): Promise<readonly string[]> {
  return (await admin.list(addressType)).flatMap(({ spec }) => {
    const { address, services: all } = spec as {
      address: string;
      services: readonly { namespace: string; name: string }[];
    };
    return all.map((one) => `${address} ${keyOf(one)}`);
  });
}

test(`a leader that is stopped past its lease and goes on doubles no address and loses none (FLATROUTE_SEED=${seed})`, async () => {
  const lasting = Array.from({ length: 8 }, (_, i): ServiceForm => ({ name: `lasting-${i}` }));
  await Promise.all(lasting.map(make));
  await until('addresses', () => withoutAddresses(lasting.map(nameOf)));
  for (const form of [...lasting, ...wishWorld.contented.map(([it]) => it)])
    steady.set(nameOf(form), String(services.get(nameOf(form))?.addresses));
  for (const round of [1, 2]) {
    const stopped = await leaderIs((name) => replicas.has(name));
    const ofRound = (): readonly string[] => withoutAddresses(coming);
    // Stopped while it has given some of the addresses that are wanted, and not all.
    const before = coming.size;
    const given = random.below(8);
    const coming20 = come(20);
    await until('some addresses', () => (coming.size - ofRound().length >= before + given ? [] : ['too few']));
    replicas.get(stopped)?.kill('SIGSTOP');
    await coming20;
    await Promise.all([go(8), come(6)]);
    await change(4);
    const next = await step(
      `round ${round}: ${stopped} is stopped`,
      leaderIs((name) => name !== stopped && name !== ''),
    );
    await go(3);
    // It goes on while the other one works.
    if (random.unit() < 0.5)
      await until('half of the addresses', () => (ofRound().length < coming.size / 2 ? [] : ofRound()));
    replicas.get(stopped)?.kill('SIGCONT');
    await Promise.all([come(6), go(4), change(4)]);
    await until(`addresses from ${next}`, ofRound);
  }
  const shows = (): readonly string[] =>
    [...services].flatMap(([name, { addresses }]) => addresses.map((address) => `${address} ${name}`)).sort();
  await waitFor(
    'claims of what is shown and of nothing else',
    async () => {
      const [all, wanted] = [(await claimed()).toSorted(), shows()];
      const differing = [...all.filter((it) => !wanted.includes(it)), ...wanted.filter((it) => !all.includes(it))];
      return differing.length === 0 ? found(undefined) : notYet(differing.join('; '));
    },
    { deadline: seconds(120), every: milliseconds(100) },
  );
  assert.deepEqual(failures, []);
  assert.ok(coming.size > 20, `${coming.size}`);
  for (const name of replicas.keys()) {
    const log = await plane.host.readFile(`/run/log/${name}.log`);
    assert.doesNotMatch(log, /API_FORBIDDEN/, 'its rights are enough');
    assert.match(log, /controller\.leads-no-longer|controller\.leads/);
  }
});
