/**
 * Where the node's own files are seen, for an agent in a container: there /proc/sys is read-only, and /etc is the image's. The
 * manifests mount the node's sysctls and say where, and with the pod's hostPID the node's root is that of process 1.
 * Which network namespace a sysctl belongs to is decided by who opens it, wherever its directory is mounted.
 */
const place = (variable: string, otherwise: string): string => process.env[variable] ?? otherwise;

/** Below it are `net/ipv4/ip_forward` and so on, writable. */
export const sysctlDirectory = place('FLATROUTE_PROC_SYS', '/proc/sys');

/** The node's /etc, /run and /usr, read for advice alone: what cannot be read there is taken for absent. */
export const hostRoot = place('FLATROUTE_HOST_ROOT', '/');
