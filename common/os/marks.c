/* marks.c - the file of replay floors: a header, then records in the order they first came. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include "common/os/marks.h"

#define MAGIC "NEMOMRK1"

struct header {
	char magic[8];
	char boot[36];    /* the kernel's boot id: who wrote this */
	uint8_t clean[4]; /* first octet 1: closed in order, and on the disk */
};
struct record {
	uint8_t kind[8]; /* the first octet; the rest is zero */
	struct in6_addr ha, hoa;
	uint64_t value; /* host order: the file stays on its host */
};
#define KEY_SIZE offsetof(struct record, value)

struct mark {
	struct record r;
	off_t at;
	UT_hash_handle hh;
};

struct marks {
	int fd;
	off_t end; /* where the next record goes */
	struct header head;
	struct mark *all; /* uthash, owned */
};

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

static struct record record_of(const struct sec_mark *m)
{
	return (struct record){{m->kind}, m->ha, m->hoa, m->value};
}

static struct mark *find(const struct marks *m, const struct record *r)
{
	struct mark *k;

	HASH_FIND(hh, m->all, r, KEY_SIZE, k);
	return k;
}

static struct mark *add(struct marks *m, const struct record *r)
{
	struct mark *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->r = *r;
	k->at = m->end;
	m->end += (off_t)sizeof(*r);
	HASH_ADD(hh, m->all, r, KEY_SIZE, k);
	return k;
}

static int write_at(int fd, const void *p, size_t size, off_t at)
{
	ssize_t n = pwrite(fd, p, size, at);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
}

/* What an old value of would be dangerous. */
static bool dangerous(uint8_t kind)
{
	return kind == SEC_MARK_FLOOR || kind == SEC_MARK_IN;
}

static int read_all(struct marks *m, bool trusted)
{
	struct record r;
	off_t from = sizeof(m->head);
	ssize_t n;
	int rc = 0;

	m->end = from;
	while ((n = pread(m->fd, &r, sizeof(r), from)) == (ssize_t)sizeof(r)) {
		from += n;
		if ((trusted || !dangerous(r.kind[0])) && !find(m, &r) && !add(m, &r))
			return -ENOMEM;
	}
	if (n < 0)
		return -errno;
	/* Written anew where something was left out, so that it does not come back. */
	for (struct mark *k = m->all; k && m->end != from && rc == 0; k = k->hh.next)
		rc = write_at(m->fd, &k->r, sizeof(k->r), k->at);
	if (rc == 0 && ftruncate(m->fd, m->end) < 0)
		rc = -errno;
	return rc;
}

static int read_file(struct marks *m)
{
	char boot[36];
	ssize_t n = pread(m->fd, &m->head, sizeof(m->head), 0);
	bool trusted;
	int r = 0;

	if (n < 0)
		return -errno;
	if (n > 0 && (n != sizeof(m->head) || memcmp(m->head.magic, MAGIC, 8) != 0))
		return -EBADMSG;
	read_boot_id(boot);
	trusted = n > 0 && (m->head.clean[0] == 1 || memcmp(m->head.boot, boot, 36) == 0);
	m->end = sizeof(m->head);
	if (n > 0)
		r = read_all(m, trusted);
	memcpy(m->head.magic, MAGIC, 8);
	memcpy(m->head.boot, boot, 36);
	memset(m->head.clean, 0, sizeof(m->head.clean));
	if (r == 0)
		r = write_at(m->fd, &m->head, sizeof(m->head), 0);
	return r == 0 && fdatasync(m->fd) < 0 ? -errno : r;
}

int marks_open(struct marks **out, const char *path)
{
	struct marks *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->fd < 0)
		r = -errno;
	else if (flock(m->fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	else
		r = read_file(m);
	if (r < 0) {
		if (m->fd >= 0)
			close(m->fd);
		m->fd = -1;
		marks_close(m);
		return r;
	}
	*out = m;
	return 0;
}

bool marks_get(const struct marks *m, struct sec_mark *out)
{
	struct record r = record_of(out);
	const struct mark *k = find(m, &r);

	if (k)
		out->value = k->r.value;
	return k;
}

int marks_put(struct marks *m, const struct sec_mark *mark)
{
	struct record r = record_of(mark);
	struct mark *k = find(m, &r);
	int rc;

	if (!k)
		k = add(m, &r);
	if (!k)
		return -ENOMEM;
	k->r.value = r.value;
	rc = write_at(m->fd, &k->r, sizeof(k->r), k->at);
	return rc == 0 && mark->kind == SEC_MARK_OUT && fdatasync(m->fd) < 0 ? -errno : rc;
}

void marks_close(struct marks *m)
{
	struct mark *k, *next;

	if (!m)
		return;
	if (m->fd >= 0) {
		/* First the numbers, then the word that they are all there. */
		m->head.clean[0] = fdatasync(m->fd) == 0;
		write_at(m->fd, &m->head, sizeof(m->head), 0);
		fdatasync(m->fd);
		close(m->fd);
	}
	HASH_ITER (hh, m->all, k, next) {
		HASH_DEL(m->all, k);
		free(k);
	}
	free(m);
}
