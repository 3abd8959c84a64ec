/** ServiceAddresses as the API has them and as the choice of addresses sees them; and how the controller changes them. */
import type { AddressClaim, Assigned, Sharer, WantingService } from '#ipam/services/intent.ts';
import { whyNotShared, withService } from '#ipam/services/sharing.ts';
import { type ApiObject, ApiError, isApiError, type ResourceStore } from '#kubernetes/store.ts';
import { type IpAddress, parseAddress } from '#lib/ip.ts';
import { serviceAddress, serviceAddressName } from '#resources/service-address.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { fieldOf, listOf, textOf } from './conditions.ts';
import type { Versioned } from './own-writes.ts';

export const addressType = typeOf(serviceAddress);

export interface SeenClaim extends AddressClaim, Versioned {}

/** `undefined`: it says no address. Of a newer schema what is known counts, because the address is taken all the same. */
export function seeClaim({ metadata, spec }: ApiObject): SeenClaim | undefined {
  const address = parseAddress(textOf(fieldOf(spec, 'address')) ?? '');
  if (address === undefined) return undefined;
  return {
    resourceVersion: metadata.resourceVersion,
    address,
    pool: textOf(fieldOf(spec, 'pool')) ?? '',
    sharingKey: textOf(fieldOf(spec, 'sharingKey')),
    services: listOf(fieldOf(spec, 'services')).map(sharerOf),
  };
}

const sharerOf = (entry: unknown): Sharer => ({
  namespace: textOf(fieldOf(entry, 'namespace')) ?? '',
  name: textOf(fieldOf(entry, 'name')) ?? '',
  uid: textOf(fieldOf(entry, 'uid')) ?? '',
  ports: listOf(fieldOf(entry, 'ports')).flatMap((port) => {
    const [protocol, number] = [fieldOf(port, 'protocol'), fieldOf(port, 'port')];
    const known = protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP';
    return known && typeof number === 'number' ? [{ protocol, port: number }] : [];
  }),
  policy: fieldOf(entry, 'policy') === 'Local' ? 'Local' : 'Cluster',
  selector: textOf(fieldOf(entry, 'selector')),
});

const specOf = ({ address, pool, sharingKey, services }: AddressClaim): object => ({
  address,
  pool,
  ...(sharingKey === undefined ? {} : { sharingKey }),
  services: services.map(({ selector, ...service }) => (selector === undefined ? service : { ...service, selector })),
});

export interface Claims {
  /** Creates the claim, or puts the Service into one that there is, or puts right what it says of the Service. */
  secure(service: WantingService, assigned: Assigned): Promise<void>;
  /** Whether the Service has the address, asked of the API server. */
  holds(uid: string, address: IpAddress): Promise<boolean>;
  /** Deletes the claim, or takes the Service out of it. */
  giveBack(uid: string, address: IpAddress): Promise<void>;
}

export function serviceClaims(
  store: ResourceStore,
  modules: {
    /** Before a call: what is to be told what the object is after it; `undefined`: it is gone. */
    readonly asking: (name: string) => (claim: SeenClaim | undefined) => void;
    readonly agrees: (uid: string, namespace: string) => boolean;
  },
): Claims {
  async function live(name: string): Promise<ApiObject | undefined> {
    const learned = modules.asking(name);
    const object = await store.get(addressType, name);
    learned(object === undefined ? undefined : seeClaim(object));
    return object;
  }

  async function create(service: WantingService, address: IpAddress, pool: string): Promise<boolean> {
    const name = serviceAddressName(address);
    const claim = withService({ address, pool, sharingKey: service.sharingKey, services: [] }, service);
    const { apiVersion, kind } = serviceAddress;
    const learned = modules.asking(name);
    try {
      const object = { apiVersion, kind, metadata: { name }, spec: specOf(claim) };
      learned(seeClaim(await store.create(addressType, object)));
      return true;
    } catch (error) {
      if (isApiError(error, 'API_ALREADY_EXISTS')) return false;
      throw error;
    }
  }

  async function replace(object: ApiObject, claim: AddressClaim): Promise<void> {
    const learned = modules.asking(object.metadata.name);
    learned(seeClaim(await store.replace(addressType, { ...object, spec: specOf(claim) })));
  }

  return {
    async secure(service, { address, pool, claim: how }) {
      if (how === 'create' && (await create(service, address, pool))) return;
      const name = serviceAddressName(address);
      const object = await live(name);
      const claim = object === undefined ? undefined : seeClaim(object);
      if (object === undefined || claim === undefined || whyNotShared(service, claim, modules.agrees) !== undefined)
        throw new ApiError('API_CONFLICT', `${address} is not to be had as it was when it was chosen`);
      await replace(object, withService(claim, service));
    },

    async holds(uid, address) {
      const object = await live(serviceAddressName(address));
      return object !== undefined && seeClaim(object)?.services.some((it) => it.uid === uid) === true;
    },

    async giveBack(uid, address) {
      const name = serviceAddressName(address);
      const object = await live(name);
      const claim = object === undefined ? undefined : seeClaim(object);
      if (object === undefined || claim?.services.some((it) => it.uid === uid) !== true) return;
      const services = claim.services.filter((it) => it.uid !== uid);
      if (services.length > 0) {
        await replace(object, { ...claim, services });
        return;
      }
      const { uid: objectUid = '', resourceVersion = '' } = object.metadata;
      const learned = modules.asking(name);
      await store.remove(addressType, name, { uid: objectUid, resourceVersion });
      learned(undefined);
    },
  };
}
