/**
 * Certificates of a control plane, made by openssl, with one authority for servers and clients: the user of a client is
 * the common name of its certificate, its groups are the organizations (Kubernetes, "X.509 client certificates").
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seconds } from '#lib/time.ts';
import { execute, succeeded } from '../process.ts';

/** Files of a certificate and of its private key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
const CONFIGURATION = '[req]\ndistinguished_name = name\n[name]\n';

/** A value of a distinguished name as `openssl req -subj` takes it. */
const escaped = (value: string): string => value.replaceAll(/[\\/+]/g, String.raw`\$&`);

export class CertificateAuthority {
  readonly directory: string;
  readonly certificate: string;
  readonly #key: string;
  readonly #configuration: string;
  #issued = 0;

  private constructor(directory: string) {
    this.directory = directory;
    this.certificate = join(directory, 'ca.crt');
    this.#key = join(directory, 'ca.key');
    this.#configuration = join(directory, 'openssl.cnf');
  }

  /** With files in a directory that exists and that only its owner can enter. Throws OS_LAB_COMMAND. */
  static async create(directory: string): Promise<CertificateAuthority> {
    const authority = new CertificateAuthority(directory);
    await writeFile(authority.#configuration, CONFIGURATION);
    await authority.#request(authority.#key, authority.certificate, '/CN=kubernetes', [
      'basicConstraints=critical,CA:TRUE',
      'keyUsage=critical,digitalSignature,keyCertSign',
    ]);
    return authority;
  }

  async issueServer(name: string, alternativeNames: readonly string[]): Promise<KeyPair> {
    return await this.#issue(`/CN=${escaped(name)}`, 'serverAuth', [
      `subjectAltName=${alternativeNames.map((one) => `${/^[\d.]+$|:/.test(one) ? 'IP' : 'DNS'}:${one}`).join(',')}`,
    ]);
  }

  async issueClient(user: string, groups: readonly string[]): Promise<KeyPair> {
    const subject = [...groups.map((group) => `/O=${escaped(group)}`), `/CN=${escaped(user)}`].join('');
    return await this.#issue(subject, 'clientAuth', []);
  }

  async #issue(subject: string, usage: string, extensions: readonly string[]): Promise<KeyPair> {
    this.#issued += 1;
    const name = join(this.directory, `${this.#issued}`);
    const pair = { certificate: `${name}.crt`, key: `${name}.key` };
    await this.#request(
      pair.key,
      pair.certificate,
      subject,
      [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        `extendedKeyUsage=${usage}`,
        ...extensions,
      ],
      ['-CA', this.certificate, '-CAkey', this.#key],
    );
    return pair;
  }

  async #request(
    key: string,
    certificate: string,
    subject: string,
    extensions: readonly string[],
    signer: readonly string[] = [],
  ): Promise<void> {
    const argv = [
      'openssl',
      'req',
      '-x509',
      '-config',
      this.#configuration,
      ...CURVE,
      '-keyout',
      key,
      '-out',
      certificate,
    ];
    const line = [...argv, '-subj', subject, ...signer, ...extensions.flatMap((one) => ['-addext', one])];
    succeeded('certificates', line, await execute(line, { timeout: seconds(60) }));
  }
}

/** A key pair without a certificate: what signs and checks the tokens of service accounts. */
export async function makeSigningKey(
  directory: string,
  name: string,
): Promise<{ readonly key: string; readonly publicKey: string }> {
  const pair = { key: join(directory, `${name}.key`), publicKey: join(directory, `${name}.pub`) };
  const generate = ['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', pair.key];
  succeeded('certificates', generate, await execute(generate, { timeout: seconds(60) }));
  const extract = ['openssl', 'ec', '-in', pair.key, '-pubout', '-out', pair.publicKey];
  succeeded('certificates', extract, await execute(extract, { timeout: seconds(60) }));
  return pair;
}
