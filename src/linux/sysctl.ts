/**
 * Files below /proc/sys, of the own network namespace or of another: which namespace `net/` shows is decided when a file
 * is opened, so only the opening happens there. Names are paths (`net/ipv4/ip_forward`), because an interface's name may
 * hold a dot.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { sysctlDirectory } from './host-root.ts';
import { systemError } from './libc.ts';
import { inNamespace } from './namespace.ts';

export interface SysctlTree {
  /** The value without its line end; `undefined` when the kernel has no such setting. Errors: AppError `OS_*`. */
  read(name: string): string | undefined;
  /** False: the setting is not there or we may not write it. Errors: AppError `OS_*`. */
  write(name: string, value: string): boolean;
}

const isMissing = (error: unknown): boolean => errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR';
const isRefused = (error: unknown): boolean => ['EACCES', 'EPERM', 'EROFS'].includes(errnoCode(error) ?? '');

function errnoCode(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined;
}

const failed = (operation: string, name: string, error: unknown): Error =>
  systemError(operation, `/proc/sys/${name}`, error);

export function openSysctlTree(namespace?: string | number): SysctlTree {
  const open = (name: string, flags: 'r' | 'w'): number => {
    const action = (): number => openSync(`${sysctlDirectory}/${name}`, flags);
    return namespace === undefined ? action() : inNamespace(namespace, action);
  };
  return {
    read(name) {
      let fd: number | undefined;
      try {
        fd = open(name, 'r');
        return readFileSync(fd, 'utf8').trimEnd();
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw failed('read', name, error);
      } finally {
        if (fd !== undefined) closeSync(fd);
      }
    },
    write(name, value) {
      let fd: number | undefined;
      try {
        fd = open(name, 'w');
        writeSync(fd, value);
        return true;
      } catch (error) {
        if (isMissing(error) || isRefused(error)) return false;
        throw failed('write', name, error);
      } finally {
        if (fd !== undefined) closeSync(fd);
      }
    },
  };
}
