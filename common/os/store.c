/* store.c - the state file: a header of one sector, then records in slots of 64, 128, 256 or 512
 * octets, each at a multiple of its size.  So none lies across a sector or a page: a write of it
 * happens or does not, and the sum tells if a disk did otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
/* A filter of 128 KB: that a key is not there is mostly told without a look at others. */
#define HASH_BLOOM 20
#include <uthash.h>
#include <zlib.h>
#include "common/os/store.h"

#define MAGIC    "NEMOSTA1"
#define SECTOR   512
#define MIN_SLOT 64
#define N_SLOTS  4         /* sizes of slots that there are */
#define CHUNK    (1 << 20) /* octets read at once: a multiple of SECTOR */
#define NEAR     (1 << 15) /* and when each record is looked at again */

struct header {
	char magic[8];
	char boot[36];    /* the kernel's boot id: who wrote this */
	uint8_t clean[4]; /* first octet 1: closed in order, and on the disk */
	uint64_t inode;   /* of this file: a copy has another */
	uint8_t zero[SECTOR - 56];
};
struct record { /* host order: the file stays on its host */
	uint32_t sum;
	uint16_t slot, size; /* octets of the slot, of the value; 0: dropped */
	struct {             /* no padding */
		struct in6_addr a, b;
		uint8_t kind[8]; /* and the value's format; the rest is zero */
	} key;
	uint8_t value[STORE_MAX];
};
#define HEAD offsetof(struct record, value)
_Static_assert(HEAD == 48 && sizeof(struct record) == SECTOR, "slots");
_Static_assert(sizeof(struct header) == SECTOR, "header");

#define KEY_SIZE 33 /* octets of record.key that tell records apart: all but the format */
struct place {      /* of a record; a home agent has very many */
	uint8_t key[KEY_SIZE];
	uint16_t slot;
	uint32_t at; /* in the file, in units of MIN_SLOT */
	UT_hash_handle hh;
};

struct store {
	int fd;
	bool same_boot;
	bool bad;  /* something could not be written: the file is not what was put */
	off_t end; /* where the next record goes */
	struct header head;
	struct place *all;           /* uthash, owned */
	struct place *free[N_SLOTS]; /* of dropped records, by size; linked by hh.next, owned */
};

static uint32_t sum_of(const struct record *r)
{
	return (uint32_t)crc32(
		0, (const uint8_t *)&r->slot, (unsigned)(HEAD - sizeof(r->sum) + r->size));
}

static void key_of(const struct store_key *k, struct record *r)
{
	memset(&r->key, 0, sizeof(r->key));
	r->key.a = k->a;
	r->key.b = k->b;
	r->key.kind[0] = k->kind;
	r->key.kind[1] = k->format;
}

static struct place *find(const struct store *s, const struct record *r)
{
	struct place *p;

	HASH_FIND(hh, s->all, &r->key, KEY_SIZE, p);
	return p;
}

static struct place *place_new(unsigned slot, off_t at)
{
	struct place *p = calloc(1, sizeof(*p));

	if (p) {
		p->at = (uint32_t)(at / MIN_SLOT);
		p->slot = (uint16_t)slot;
	}
	return p;
}

static off_t where(const struct place *p)
{
	return (off_t)p->at * MIN_SLOT;
}

static void add(struct store *s, const struct record *r, struct place *p)
{
	memcpy(p->key, &r->key, sizeof(p->key));
	HASH_ADD(hh, s->all, key, sizeof(p->key), p);
}

/* The free ones of that size. */
static struct place **free_of(struct store *s, unsigned slot)
{
	unsigned i = 0;

	while ((unsigned)MIN_SLOT << i < slot)
		i++;
	return &s->free[i];
}

static void put_free(struct store *s, struct place *p)
{
	struct place **first = free_of(s, p->slot);

	p->hh.next = *first;
	*first = p;
}

static int write_at(int fd, const void *p, size_t size, off_t at)
{
	ssize_t n = pwrite(fd, p, size, at);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
}

/* The next run is not to take the file for whole, whatever ends this one: no boot has such an id.
 * The header has its place on the disk already. */
static void doubt(struct store *s)
{
	if (s->bad)
		return;
	s->bad = true;
	memset(s->head.boot, '-', sizeof(s->head.boot));
	write_at(s->fd, &s->head, sizeof(s->head), 0);
}

/* --- open --- */

static void read_boot_id(char out[36])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(out, 0, 36);
	if (f) {
		if (fread(out, 1, 36, f) != 36)
			memset(out, 0, 36);
		fclose(f);
	}
}

static bool is_slot(unsigned n)
{
	return n >= MIN_SLOT && n <= SECTOR && (n & (n - 1)) == 0;
}

static bool is_zero(const uint8_t *p, size_t size)
{
	return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

/* What stands at 'at', of which 'left' octets are there.  Octets to go on by; 0: not whole. */
static unsigned read_record(struct store *s, const uint8_t *p, size_t left, off_t at, int *rc)
{
	struct record r = {0};
	struct place *place;

	memcpy(&r, p, left < HEAD ? left : HEAD);
	if (left < MIN_SLOT || !is_slot(r.slot) || r.slot > left || at % r.slot ||
		r.size > r.slot - HEAD)
		return left >= MIN_SLOT && is_zero(p, MIN_SLOT) ? MIN_SLOT : 0;
	memcpy(r.value, p + HEAD, r.size);
	if (sum_of(&r) != r.sum || (r.size && find(s, &r)))
		return 0;
	place = place_new(r.slot, at);
	if (!place)
		*rc = -ENOMEM;
	else if (r.size)
		add(s, &r, place);
	else
		put_free(s, place);
	return r.slot;
}

static int read_all(struct store *s, bool *torn)
{
	static const uint8_t none[MIN_SLOT];
	uint8_t *buf = malloc(CHUNK);
	int rc = buf ? 0 : -ENOMEM;
	ssize_t n = 0;

	while (rc == 0 && (n = pread(s->fd, buf, CHUNK, s->end)) > 0) {
		for (ssize_t i = 0; i < n && rc == 0;) {
			unsigned step = read_record(s, buf + i, (size_t)(n - i), s->end + i, &rc);

			if (!step) { /* so that it does not come back */
				*torn = true;
				step = MIN_SLOT;
				rc = rc ? rc : write_at(s->fd, none, sizeof(none), s->end + i);
			}
			i += step;
		}
		s->end += (n + SECTOR - 1) / SECTOR * SECTOR;
	}
	free(buf);
	return rc < 0 ? rc : n < 0 ? -errno : 0;
}

/* -EBADMSG: it is something else. */
static int read_file(struct store *s, enum store_state *state)
{
	bool torn = false, known;
	struct header before;
	struct stat st;
	char boot[36];
	ssize_t n = pread(s->fd, &s->head, sizeof(s->head), 0);
	int r;

	if (n < 0 || fstat(s->fd, &st) < 0)
		return -errno;
	if (n > 0 && (n != sizeof(s->head) || memcmp(s->head.magic, MAGIC, 8) != 0))
		return -EBADMSG;
	before = s->head;
	read_boot_id(boot);
	s->same_boot = memcmp(s->head.boot, boot, 36) == 0;
	known = s->head.inode == st.st_ino && (s->head.clean[0] == 1 || s->same_boot);
	*state = n == 0 ? STORE_NEW : known ? STORE_WHOLE : STORE_OLD;
	s->end = SECTOR;
	r = read_all(s, &torn);
	if (torn)
		*state = STORE_TORN;
	memcpy(s->head.magic, MAGIC, 8);
	memcpy(s->head.boot, boot, 36);
	memset(s->head.clean, 0, sizeof(s->head.clean));
	s->head.inode = st.st_ino;
	/* After a crash it is so already, and records on their way to the disk need no waiting for.
	 */
	if (r < 0 || (n && !torn && memcmp(&before, &s->head, sizeof(before)) == 0))
		return r;
	r = write_at(s->fd, &s->head, sizeof(s->head), 0);
	if (r == 0 && fdatasync(s->fd) < 0) {
		r = -errno;
		doubt(s);
	}
	return r;
}

static int open_file(struct store *s, const char *path, bool tmpfs)
{
	struct statfs fs;

	s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->fd < 0 || flock(s->fd, LOCK_EX | LOCK_NB) < 0 || fstatfs(s->fd, &fs) < 0)
		return -errno;
	if (!tmpfs || fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		return 0;
	if (lseek(s->fd, 0, SEEK_END) == 0)
		unlink(path);
	return -EMEDIUMTYPE;
}

/* A new name is not on the disk before its folder is. */
static void sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

static void give_up(struct store *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	store_close(s);
}

int store_open(struct store **out, const char *path, bool tmpfs, enum store_state *state)
{
	struct store *s = calloc(1, sizeof(*s));
	char bad[4096];
	int r;

	if (!s)
		return -ENOMEM;
	r = open_file(s, path, tmpfs);
	if (r == 0)
		r = read_file(s, state);
	if (r == -EBADMSG) {
		snprintf(bad, sizeof(bad), "%s.bad", path);
		give_up(s);
		r = rename(path, bad) < 0 ? -errno : store_open(out, path, tmpfs, state);
		*state = STORE_ASIDE;
		return r;
	}
	if (r < 0) {
		give_up(s);
		return r;
	}
	if (*state == STORE_NEW)
		sync_folder(path);
	*out = s;
	return 0;
}

/* --- records --- */

static bool is_whole(const struct place *p, const struct record *r)
{
	return r->slot == p->slot && r->size <= r->slot - HEAD && sum_of(r) == r->sum;
}

static bool load(const struct store *s, const struct place *p, struct record *r)
{
	return pread(s->fd, r, p->slot, where(p)) == p->slot && is_whole(p, r);
}

bool store_get(const struct store *s, const struct store_key *k, void *value, size_t size)
{
	struct record r = {0};
	const struct place *p;
	bool ok;

	key_of(k, &r);
	p = find(s, &r);
	ok = p && load(s, p, &r) && r.key.kind[1] == k->format && r.size == size && size;
	if (ok)
		memcpy(value, r.value, size);
	explicit_bzero(&r, sizeof(r));
	return ok;
}

/* A new record's place: a dropped one's, else behind all others. */
static struct place *find_room(struct store *s, struct record *r)
{
	struct place **first, *p;

	for (r->slot = MIN_SLOT; r->slot < HEAD + r->size; r->slot *= 2)
		;
	first = free_of(s, r->slot);
	p = *first;
	if (p) {
		*first = p->hh.next;
	} else {
		s->end = (s->end + r->slot - 1) / r->slot * r->slot;
		p = place_new(r->slot, s->end);
		if (!p)
			return NULL;
		s->end += r->slot;
	}
	add(s, r, p);
	return p;
}

static int put(struct store *, const struct store_key *, const void *, size_t, enum store_how);

/* Another format's record is too small: it makes room for this one. */
static int outgrow(struct store *s, struct place *p, const struct store_key *k)
{
	struct record r;

	if (!load(s, p, &r))
		return -EIO;
	return r.key.kind[1] == k->format ? -EMSGSIZE : put(s, k, NULL, 0, STORE_FAST);
}

static int put(struct store *s, const struct store_key *k, const void *value, size_t size,
	enum store_how how)
{
	struct record r = {.size = (uint16_t)size};
	struct place *p;
	int rc = 0;

	if (size > STORE_MAX)
		return -EMSGSIZE;
	key_of(k, &r);
	p = find(s, &r);
	if (!p && !size)
		return 0;
	if (p && size > p->slot - HEAD) {
		rc = outgrow(s, p, k);
		p = NULL;
	}
	if (rc < 0)
		return rc;
	if (!p)
		p = find_room(s, &r);
	if (!p)
		return -ENOMEM;
	r.slot = p->slot;
	if (size)
		memcpy(r.value, value, size);
	r.sum = sum_of(&r);
	rc = write_at(s->fd, &r, p->slot, where(p));
	explicit_bzero(&r, sizeof(r));
	if (rc == 0 && !size) {
		HASH_DEL(s->all, p);
		put_free(s, p);
	}
	return rc == 0 && how == STORE_SYNC && fdatasync(s->fd) < 0 ? -errno : rc;
}

int store_put(struct store *s, const struct store_key *k, const void *value, size_t size,
	enum store_how how)
{
	int r = put(s, k, value, size, how);

	if (r < 0)
		doubt(s);
	return r;
}

int store_each(struct store *s, uint8_t kind, store_fn *fn, void *arg)
{
	uint8_t near[NEAR]; /* most records lie behind one another */
	off_t at = 0;
	ssize_t n = 0;
	struct record r;
	struct place *p, *next;

	HASH_ITER (hh, s->all, p, next) {
		struct store_key k = {.kind = kind};

		if (p->key[2 * sizeof(k.a)] != kind)
			continue;
		if (where(p) < at || where(p) + p->slot > at + n) {
			at = where(p);
			n = pread(s->fd, near, sizeof(near), at);
		}
		if (n < p->slot)
			return -EIO;
		memcpy(&r, near + (where(p) - at), p->slot);
		if (!is_whole(p, &r))
			return -EIO;
		k.a = r.key.a;
		k.b = r.key.b;
		k.format = r.key.kind[1];
		fn(arg, &k, r.value, r.size);
	}
	return 0;
}

bool store_same_boot(const struct store *s)
{
	return s->same_boot;
}

int store_empty(struct store *s)
{
	struct place *p, *next;
	int r = 0;

	HASH_ITER (hh, s->all, p, next) {
		struct store_key k = {.kind = p->key[2 * sizeof(k.a)]};

		memcpy(&k.a, p->key, sizeof(k.a));
		memcpy(&k.b, p->key + sizeof(k.a), sizeof(k.b));
		if (r == 0)
			r = store_put(s, &k, NULL, 0, STORE_FAST);
	}
	return r;
}

void store_close(struct store *s)
{
	struct place *p, *next;

	if (!s)
		return;
	if (s->fd >= 0) {
		/* First the records, then the word that they are all there. */
		s->head.clean[0] = fdatasync(s->fd) == 0 && !s->bad;
		write_at(s->fd, &s->head, sizeof(s->head), 0);
		fdatasync(s->fd);
		close(s->fd);
	}
	HASH_ITER (hh, s->all, p, next) {
		HASH_DEL(s->all, p);
		free(p);
	}
	for (unsigned i = 0; i < N_SLOTS; i++) {
		for (p = s->free[i]; p; p = next) {
			next = p->hh.next;
			free(p);
		}
	}
	free(s);
}
