/*
 * Two tables. `inet`: prefixes of /18 to /24 as the Internet has them, one attribute set for each five of them, in no
 * order at all. `k8s`: blocks of /26, each of one of 500 originators with a next hop of its own.
 */
#include "load.h"
#include <stdlib.h>
#include <string.h>

#define ORIGINATORS 500
#define FIRST_ORIGIN 100000u
#define FIRST_ORIGINATOR_ASN 4200000000u
#define MESSAGE 4096

/* One length of prefix: neighbouring prefixes of their own address range, so that a number is an address. */
struct band {
  uint8_t length;
  uint32_t first, count, base;
};
static struct band bands[9];
static int band_count;
static uint32_t single_base = 96u << 24;
static uint32_t table_size, single_count;
static uint8_t single_length;

static uint64_t seed;
static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
static uint32_t chance(uint32_t below) {
  seed = mix(seed);
  return (uint32_t)((seed >> 32) * below >> 32);
}

static void make_bands(enum profile profile, uint32_t size) {
  static const struct {
    uint8_t length;
    uint32_t permille;
  } inet[] = {{18, 10}, {19, 30}, {20, 50}, {21, 60}, {22, 130}, {23, 100}, {24, 620}}, k8s[] = {{26, 1000}};
  int known = profile == INET ? 7 : 1;
  uint32_t first = 0, base = 16u << 24;
  band_count = 0;
  for (int i = 0; i < known; i++) {
    uint8_t length = profile == INET ? inet[i].length : k8s[i].length;
    uint32_t permille = profile == INET ? inet[i].permille : k8s[i].permille;
    uint32_t count = i == known - 1 ? size - first : (uint32_t)((uint64_t)size * permille / 1000);
    bands[band_count++] = (struct band){length, first, count, base};
    first += count;
    base += count << (32 - length);
    base = (base + 0xffff) & ~0xffffu;
  }
  single_length = profile == INET ? 24 : 26;
}

int64_t prefix_index(uint32_t address, uint8_t length) {
  if (address >= single_base) {
    uint32_t index = (address - single_base) >> (32 - single_length);
    return length == single_length && index < single_count ? (int64_t)table_size + index : -1;
  }
  for (int i = 0; i < band_count; i++) {
    if (bands[i].length != length || address < bands[i].base) continue;
    uint32_t at = (address - bands[i].base) >> (32 - length);
    if (at < bands[i].count) return (int64_t)bands[i].first + at;
  }
  return -1;
}

static uint8_t length_of(uint32_t index) {
  for (int i = 0; i < band_count; i++)
    if (index < bands[i].first + bands[i].count) return bands[i].length;
  return single_length;
}

uint32_t prefix_address(uint32_t index) {
  if (index >= table_size) return single_base + ((index - table_size) << (32 - single_length));
  int i = 0;
  while (index >= bands[i].first + bands[i].count) i++;
  return bands[i].base + ((index - bands[i].first) << (32 - bands[i].length));
}

static uint8_t *put16(uint8_t *at, uint32_t value) {
  at[0] = value >> 8;
  at[1] = value;
  return at + 2;
}
static uint8_t *put32(uint8_t *at, uint32_t value) { return put16(put16(at, value >> 16), value); }
static uint8_t *attribute(uint8_t *at, uint8_t flags, uint8_t code, uint8_t length) {
  *at++ = flags;
  *at++ = code;
  *at++ = length;
  return at;
}
static uint8_t *put_prefix(uint8_t *at, uint32_t index) {
  uint8_t length = length_of(index), octets = (length + 7) / 8;
  uint32_t address = prefix_address(index);
  *at++ = length;
  for (int i = 0; i < octets; i++) *at++ = address >> (24 - 8 * i);
  return at;
}

static uint8_t *put_path(uint8_t *at, const struct table *table, const uint32_t *asns, int count) {
  int own = table->ibgp ? 0 : 1;
  if (own + count == 0) return attribute(at, 0x40, 2, 0);
  at = attribute(at, 0x40, 2, 2 + 4 * (own + count));
  *at++ = 2;
  *at++ = own + count;
  if (own) at = put32(at, table->source_asn);
  for (int i = 0; i < count; i++) at = put32(at, asns[i]);
  return at;
}

/* Attributes of set `set`, varied as the Internet's are; the last AS of the path names the set. */
static uint8_t *inet_attributes(uint8_t *at, const struct table *table, uint32_t set) {
  at = attribute(at, 0x40, 1, 1);
  *at++ = chance(20) == 0 ? 2 : 0;
  uint32_t asns[8];
  int hops = chance(5) + 1;
  for (int i = 0; i < hops; i++) asns[i] = 1000 + chance(60000);
  asns[hops++] = FIRST_ORIGIN + set;
  at = put_path(at, table, asns, hops);
  at = attribute(at, 0x40, 3, 4);
  at = put32(at, table->next_hop);
  if (chance(10) < 3) {
    at = attribute(at, 0x80, 4, 4);
    at = put32(at, chance(1000));
  }
  if (table->ibgp) {
    at = attribute(at, 0x40, 5, 4);
    at = put32(at, 100);
  }
  if (chance(50) == 0) at = attribute(at, 0x40, 6, 0);
  if (chance(20) == 0) {
    at = attribute(at, 0xc0, 7, 8);
    at = put32(at, FIRST_ORIGIN + set);
    at = put32(at, 0x0a000000u + set);
  }
  uint32_t communities = chance(7);
  if (communities > 0) {
    at = attribute(at, 0xc0, 8, 4 * communities);
    for (uint32_t i = 0; i < communities; i++) at = put32(at, (1000 + chance(60000)) << 16 | chance(65000));
  }
  if (chance(20) == 0) {
    at = attribute(at, 0xc0, 32, 12);
    at = put32(put32(put32(at, FIRST_ORIGIN + set), chance(100)), chance(100));
  }
  return at;
}

static uint32_t originator_next_hop(uint32_t originator) { return 0x0a010200u + originator; }

static uint8_t *k8s_attributes(uint8_t *at, const struct table *table, uint32_t originator) {
  at = attribute(at, 0x40, 1, 1);
  *at++ = 0;
  uint32_t asn = FIRST_ORIGINATOR_ASN + originator;
  at = put_path(at, table, &asn, table->ibgp ? 0 : 1);
  at = attribute(at, 0x40, 3, 4);
  at = put32(at, originator_next_hop(originator));
  if (table->ibgp) {
    at = attribute(at, 0x40, 5, 4);
    at = put32(at, 100);
  }
  return at;
}

static enum profile kind;
static uint32_t tag_of(const struct table *table, uint32_t set) {
  if (kind == INET) return FIRST_ORIGIN + set;
  return table->ibgp ? originator_next_hop(set) : FIRST_ORIGINATOR_ASN + set;
}

/* Header, no withdrawn routes, attributes; answers where NLRI begin. */
static uint8_t *begin_update(uint8_t *message, const struct table *table, uint32_t set) {
  memset(message, 0xff, 16);
  message[18] = 2;
  put16(message + 19, 0);
  uint8_t *at = (kind == INET ? inet_attributes : k8s_attributes)(message + 23, table, set);
  put16(message + 21, at - (message + 23));
  return at;
}
static size_t end_update(uint8_t *message, const uint8_t *at) {
  put16(message + 16, at - message);
  return at - message;
}

static uint32_t ordered;
static void append(struct table *table, size_t *capacity, uint32_t set, const uint32_t *list, uint32_t count) {
  uint8_t message[MESSAGE + 64];
  uint32_t done = 0;
  uint64_t attributes_seed = mix(0x5eed + set);
  while (done < count) {
    seed = attributes_seed;
    uint8_t *at = begin_update(message, table, set);
    while (done < count && at - message + 5 <= MESSAGE) {
      table->tags[list[done]] = tag_of(table, set);
      table->order[ordered++] = list[done];
      at = put_prefix(at, list[done++]);
    }
    size_t length = end_update(message, at);
    if (table->length + length > *capacity) {
      *capacity = 2 * *capacity + length;
      table->bytes = realloc(table->bytes, *capacity);
    }
    memcpy(table->bytes + table->length, message, length);
    table->length += length;
    table->updates++;
  }
}

/* Fills in `tags`, and the UPDATEs of the prefixes from `from` to before `to`. */
void make_table(struct table *table, enum profile profile, uint32_t from, uint32_t to) {
  kind = profile;
  table_size = table->size;
  single_count = table->singles;
  make_bands(profile, table->size);
  uint32_t count = to - from;
  size_t capacity = 1 << 20;
  table->bytes = malloc(capacity);
  table->length = 0;
  table->updates = 0;
  if (table->tags == NULL) table->tags = calloc(table->size + table->singles, sizeof *table->tags);
  table->order = malloc((count + 1) * sizeof *table->order);
  ordered = 0;
  uint32_t *list = malloc((count + 1) * sizeof *list);
  if (profile == INET) {
    for (uint32_t i = 0; i < count; i++) list[i] = from + i;
    seed = 42;
    for (uint32_t i = count; i > 1; i--) {
      uint32_t j = chance(i), swap = list[j];
      list[j] = list[i - 1];
      list[i - 1] = swap;
    }
    uint32_t set = 0;
    for (uint32_t at = 0; at < count; set++) {
      seed = mix(0xa110c + set);
      uint32_t share = 1 + chance(9);
      if (share > count - at) share = count - at;
      append(table, &capacity, set, list + at, share);
      at += share;
    }
    table->sets = set;
  } else {
    for (uint32_t originator = 0; originator < ORIGINATORS; originator++) {
      uint32_t found = 0;
      for (uint32_t i = from; i < to; i++)
        if (table->originator < 0 ? mix(i) % ORIGINATORS == originator : (uint32_t)table->originator == originator)
          list[found++] = i;
      append(table, &capacity, originator, list, found);
    }
    table->sets = ORIGINATORS;
  }
  free(list);
  for (uint32_t i = 0; i < table->singles; i++) table->tags[table->size + i] = tag_of(table, i);
}

size_t single_update(const struct table *table, uint32_t index, bool announce, uint8_t *out) {
  if (announce) {
    seed = mix(0x51 + index);
    return end_update(out, put_prefix(begin_update(out, table, index - table->size), index));
  }
  memset(out, 0xff, 16);
  out[18] = 2;
  uint8_t *end = put_prefix(out + 21, index);
  put16(out + 19, end - (out + 21));
  return end_update(out, put16(end, 0));
}
