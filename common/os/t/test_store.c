/* test_store.c - the state file: what was put is there again whoever ended the process, and a file
 * that is torn, old or something else is told from one that is whole. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/os/store.h"

static char dir[] = "/tmp/test_store.XXXXXX", path[64], bad[72], copy[72];

static struct store_key key(uint8_t kind, unsigned n)
{
	struct store_key k = {.kind = kind};

	memcpy(&k.a, &n, sizeof(n));
	return k;
}

static struct store *open_as(enum store_state want)
{
	enum store_state state;
	struct store *s = NULL;

	assert_int_equal(store_open(&s, path, false, &state), 0);
	assert_int_equal(state, want);
	return s;
}

static void put(struct store *s, uint8_t kind, unsigned n, const void *value, size_t size)
{
	const struct store_key k = key(kind, n);

	assert_int_equal(store_put(s, &k, value, size, STORE_FAST), 0);
}

static void has(struct store *s, uint8_t kind, unsigned n, const void *value, size_t size)
{
	const struct store_key k = key(kind, n);
	uint8_t got[STORE_MAX];

	assert_true(store_get(s, &k, got, size));
	assert_memory_equal(got, value, size);
	assert_false(store_get(s, &k, got, size + 1));
}

static int setup(void **state)
{
	(void)state;
	unlink(path);
	unlink(bad);
	unlink(copy);
	return 0;
}

static void records_of_all_sizes_come_back(void **state)
{
	static const size_t sizes[] = {1, 8, 16, 17, 80, 81, 208, 209, STORE_MAX};
	uint8_t value[STORE_MAX];
	struct store *s = open_as(STORE_NEW);

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			memset(value, (int)(i + round), sizeof(value));
			put(s, 'x', i, value, sizes[i]);
		}
		store_close(s);
		s = open_as(STORE_WHOLE);
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			memset(value, (int)(i + round), sizeof(value));
			has(s, 'x', i, value, sizes[i]);
		}
	}
	put(s, 'x', 3, NULL, 0);
	store_close(s);
	s = open_as(STORE_WHOLE);
	const struct store_key gone = key('x', 3);

	assert_false(store_get(s, &gone, value, sizes[3]));
	assert_int_equal(store_put(s, &gone, value, STORE_MAX + 1, STORE_FAST), -EMSGSIZE);
	store_close(s);
}

static void count(void *arg, const struct store_key *k, const void *value, size_t size)
{
	unsigned *sum = arg, n;

	assert_int_equal(size, sizeof(n));
	memcpy(&n, value, sizeof(n));
	assert_memory_equal(&k->a, &n, sizeof(n));
	*sum += n;
}

static void only_records_of_the_kind_are_called_for(void **state)
{
	struct store *s = open_as(STORE_NEW);
	unsigned sum = 0;

	(void)state;
	for (unsigned i = 1; i <= 1000; i++)
		put(s, i % 2 ? 'a' : 'b', i, &i, sizeof(i));
	assert_int_equal(store_each(s, 'a', count, &sum), 0);
	assert_int_equal(sum, 250000);
	assert_int_equal(store_empty(s), 0);
	assert_int_equal(store_each(s, 'b', count, &sum), 0);
	assert_int_equal(sum, 250000);
	store_close(s);
}

static off_t size_of_file(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* Home addresses come and go for years. */
static void the_place_of_a_dropped_record_is_anothers(void **state)
{
	static const size_t sizes[] = {8, 80, 208, STORE_MAX};
	struct store *s = open_as(STORE_NEW);
	uint8_t value[STORE_MAX] = {7};
	off_t full = 0;

	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < 40; i++)
			put(s, 'x', round * 40 + i, value, sizes[i % 4]);
		put(s, 'y', round, value, 8); /* what stays is not written over */
		for (unsigned i = 0; i < 40; i++)
			put(s, 'x', round * 40 + i, NULL, 0);
		if (round % 2) { /* from run to run, too */
			store_close(s);
			s = open_as(STORE_WHOLE);
		}
		full = full ? full : size_of_file();
		assert_true(size_of_file() <= full + 8 * 512); /* rounding, and what stays */
	}
	for (unsigned round = 0; round < 6; round++)
		has(s, 'y', round, value, 8);
	put(s, 'x', 1, value, 8); /* of another size than at first */
	put(s, 'x', 1, NULL, 0);
	put(s, 'x', 1, value, STORE_MAX);
	has(s, 'x', 1, value, STORE_MAX);
	store_close(s);
}

static void note_format(void *arg, const struct store_key *k, const void *value, size_t size)
{
	unsigned *formats = arg;

	assert_int_equal(size, k->format ? 8 : 300);
	assert_int_equal(*(const uint8_t *)value, k->format);
	*formats |= 1u << k->format;
}

/* Of an older or newer version: it is not taken for what it is not, and who lists all is told. */
static void a_record_of_another_format_is_replaced(void **state)
{
	struct store *s = open_as(STORE_NEW);
	struct store_key old = key('b', 1), new = key('b', 1);
	uint8_t value[300] = {0}, got[300];
	unsigned formats = 0;

	(void)state;
	new.format = value[0] = 1;
	assert_int_equal(store_put(s, &new, value, 8, STORE_FAST), 0);
	store_close(s);
	s = open_as(STORE_WHOLE);
	assert_false(store_get(s, &old, got, 8));
	assert_int_equal(store_each(s, 'b', note_format, &formats), 0);
	assert_int_equal(formats, 2);
	value[0] = 0;
	assert_int_equal(store_put(s, &old, value, 300, STORE_FAST), 0); /* larger, too */
	store_close(s);
	s = open_as(STORE_WHOLE);
	assert_int_equal(store_each(s, 'b', note_format, &formats), 0);
	assert_int_equal(formats, 3);
	assert_false(store_get(s, &new, got, 8));
	assert_true(store_get(s, &old, got, 300));
	assert_int_equal(store_put(s, &new, NULL, 0, STORE_FAST), 0);
	assert_false(store_get(s, &old, got, 300));
	store_close(s);
}

static void a_killed_process_loses_nothing(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct store *s = open_as(STORE_NEW);

		for (unsigned i = 0; i < 500; i++)
			put(s, 'k', i, &i, sizeof(i));
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	struct store *s = open_as(STORE_WHOLE);

	for (unsigned i = 0; i < 500; i++)
		has(s, 'k', i, &i, sizeof(i));
	assert_true(store_same_boot(s));
	store_close(s);
}

/* A full disk, as a limit of the file's size. */
static void fill_up(bool kill_it)
{
	const struct rlimit full = {2 * 512, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
	const struct store_key k = key('x', 2);
	uint8_t value[STORE_MAX] = {1};
	struct store *s = open_as(STORE_NEW);

	put(s, 'x', 1, value, sizeof(value));
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &full);
	if (store_put(s, &k, value, sizeof(value), STORE_FAST) != -EFBIG)
		_exit(1);
	setrlimit(RLIMIT_FSIZE, &none);
	put(s, 'x', 2, value, sizeof(value));
	if (kill_it)
		kill(getpid(), SIGKILL);
	store_close(s);
	_exit(0);
}

static void a_write_that_failed_is_not_forgotten(void **state)
{
	uint8_t value[STORE_MAX] = {1};
	int status;

	for (unsigned i = 0; i < 2; i++) {
		setup(state);
		pid_t pid = fork();

		if (pid == 0)
			fill_up(i);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(i ? WIFSIGNALED(status) : status == 0);
		struct store *s = open_as(STORE_OLD);

		has(s, 'x', 1, value, sizeof(value));
		has(s, 'x', 2, value, sizeof(value));
		store_close(s);
		store_close(open_as(STORE_WHOLE)); /* told once */
	}
}

static void change(off_t at, const char *what, size_t size)
{
	int fd = open(path, O_WRONLY);

	assert_int_equal(pwrite(fd, what, size, at), (ssize_t)size);
	close(fd);
}

static void a_torn_record_is_gone_and_told_the_rest_stays(void **state)
{
	struct store *s = open_as(STORE_NEW);
	char value[100] = "bindings";
	uint8_t got[100];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		put(s, 'b', i, value, sizeof(value));
	store_close(s);
	change(512 + 256 + 100, "?", 1); /* in the middle of the second one */
	s = open_as(STORE_TORN);
	has(s, 'b', 0, value, sizeof(value));
	has(s, 'b', 2, value, sizeof(value));
	const struct store_key k = key('b', 1);

	assert_false(store_get(s, &k, got, sizeof(got)));
	put(s, 'b', 1, value, sizeof(value));
	store_close(s);
	s = open_as(STORE_WHOLE); /* torn once is told once */
	has(s, 'b', 1, value, sizeof(value));
	store_close(s);
	assert_int_equal(truncate(path, 512 + 512 + 200), 0); /* in the last one */
	s = open_as(STORE_TORN);
	has(s, 'b', 0, value, sizeof(value));
	store_close(s);
}

/* --- power lost, or a disk that writes otherwise --- */

#define N_RECORDS 5
#define HEAD      48 /* octets of a record before its value */
#define STEP(at)  ((at) < 1024 ? 1 : 13)

/* One in each size of slot, and a dropped one among them; where it ends is found out. */
static const struct {
	size_t size, slot;
} records[N_RECORDS] = {{8, 64}, {70, 128}, {16, 64}, {200, 256}, {STORE_MAX, 512}};
enum { DROPPED = 2 };
static size_t ends[N_RECORDS];
static char image[8192];

static size_t take_image(void)
{
	struct store *s = open_as(STORE_NEW);
	uint8_t value[STORE_MAX];
	ssize_t n;
	int fd;

	for (unsigned i = 0; i < N_RECORDS; i++) {
		memset(value, (int)i + 1, sizeof(value));
		put(s, 'x', i, value, records[i].size);
		ends[i] = (size_t)size_of_file();
	}
	put(s, 'x', DROPPED, NULL, 0);
	store_close(s);
	fd = open(path, O_RDONLY);
	n = read(fd, image, sizeof(image));
	close(fd);
	assert_int_equal(n, ends[N_RECORDS - 1]);
	return (size_t)n;
}

static void write_image(size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	memcpy(image + 48, &st.st_ino, sizeof(st.st_ino)); /* no copy */
	assert_int_equal(write(fd, image, size), (ssize_t)size);
	close(fd);
}

/* Those not in 'lost' are as they were, and all may be put again. */
static void expect_all_but(unsigned lost, enum store_state want)
{
	struct store *s = open_as(want);
	uint8_t value[STORE_MAX];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N_RECORDS; i++) {
			const struct store_key k = key('x', i);

			memset(value, (int)i + 1, sizeof(value));
			if (round || !(lost & 1u << i))
				has(s, 'x', i, value, records[i].size);
			else
				assert_false(store_get(s, &k, value, records[i].size));
		}
		for (unsigned i = 0; i < N_RECORDS && !round; i++) {
			memset(value, (int)i + 1, sizeof(value));
			put(s, 'x', i, value, records[i].size);
		}
		store_close(s);
		s = open_as(STORE_WHOLE);
	}
	store_close(s);
}

static void a_file_that_ends_early_has_what_lies_before(void **state)
{
	size_t size = take_image();

	(void)state;
	for (size_t cut = 0; cut <= size; cut += STEP(cut)) {
		bool torn = cut % 64;
		unsigned lost = 1u << DROPPED;

		for (unsigned i = 0; i < N_RECORDS; i++) {
			lost |= (unsigned)(cut < ends[i]) << i;
			torn |= cut < ends[i] && cut > ends[i] - records[i].slot;
		}
		write_image(cut);
		expect_all_but(lost, cut == 0    ? STORE_NEW
				     : cut < 512 ? STORE_ASIDE
				     : torn      ? STORE_TORN
						 : STORE_WHOLE);
	}
}

static void a_wrong_octet_costs_its_record_and_no_other(void **state)
{
	size_t size = take_image();

	(void)state;
	for (size_t at = 512; at < size; at += STEP(at)) {
		unsigned i = 0, lost = 1u << DROPPED;
		size_t begin, used;

		while (at >= ends[i])
			i++;
		begin = ends[i] - records[i].slot;
		used = HEAD + (i == DROPPED ? 0 : records[i].size);
		if (at >= begin && at < begin + used)
			lost |= 1u << i;
		image[at] ^= 0x40;
		write_image(size);
		image[at] ^= 0x40;
		expect_all_but(lost, at < begin + used ? STORE_TORN : STORE_WHOLE);
	}
}

/* The first sector, as no run leaves it: never taken for more than it is. */
static void a_wrong_octet_of_the_header_is_never_taken_for_whole(void **state)
{
	size_t size = take_image();
	enum store_state how;
	struct store *s;

	(void)state;
	for (size_t at = 0; at < 56; at++) {
		write_image(size);
		image[at] ^= 0x40;
		change(0, image, 512);
		image[at] ^= 0x40;
		assert_int_equal(store_open(&s, path, false, &how), 0);
		/* another boot is no matter, as it was closed in order; nor is that, in this one */
		assert_int_equal(how, at < 8 ? STORE_ASIDE : at < 48 ? STORE_WHOLE : STORE_OLD);
		store_close(s);
	}
	memset(image, 0, 512); /* room that was never written to */
	write_image(512);
	expect_all_but(~0u, STORE_ASIDE);
}

static void after_a_boot_without_a_close_records_may_be_old(void **state)
{
	struct store *s = open_as(STORE_NEW), *other;
	enum store_state how;
	unsigned n = 7;

	(void)state;
	put(s, 'n', n, &n, sizeof(n));
	assert_int_equal(store_open(&other, path, false, &how), -EAGAIN);
	store_close(s);
	change(8, "another boot", 12);
	s = open_as(STORE_WHOLE); /* closed in order before */
	assert_false(store_same_boot(s));
	store_close(s);
	change(8, "another boot", 12);
	change(44, "\0", 1); /* not closed */
	s = open_as(STORE_OLD);
	has(s, 'n', n, &n, sizeof(n));
	store_close(s);
}

static void a_copy_may_be_old(void **state)
{
	struct store *s = open_as(STORE_NEW);
	char command[400];
	unsigned n = 7;

	(void)state;
	put(s, 'n', n, &n, sizeof(n));
	store_close(s);
	snprintf(command, sizeof(command), "cp %s %s && mv %s %s", path, copy, copy, path);
	assert_int_equal(system(command), 0);
	s = open_as(STORE_OLD);
	has(s, 'n', n, &n, sizeof(n));
	store_close(s);
}

static void something_else_is_set_aside(void **state)
{
	static const char text[] = "address = \"2001:db8::1\";\n";
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	char got[sizeof(text)];

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	struct store *s = open_as(STORE_ASIDE);

	put(s, 'n', 1, text, sizeof(text));
	store_close(s);
	s = open_as(STORE_WHOLE);
	has(s, 'n', 1, text, sizeof(text));
	store_close(s);
	fd = open(bad, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, text, sizeof(text));
	close(fd);
}

static void secrets_go_to_no_disk(void **state)
{
	enum store_state how;
	struct store *s = NULL;
	int r = store_open(&s, path, true, &how);

	(void)state;
	if (r == 0) { /* /tmp may be a tmpfs */
		store_close(s);
		skip();
	}
	assert_int_equal(r, -EMEDIUMTYPE);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(records_of_all_sizes_come_back, setup),
		cmocka_unit_test_setup(only_records_of_the_kind_are_called_for, setup),
		cmocka_unit_test_setup(the_place_of_a_dropped_record_is_anothers, setup),
		cmocka_unit_test_setup(a_record_of_another_format_is_replaced, setup),
		cmocka_unit_test_setup(a_killed_process_loses_nothing, setup),
		cmocka_unit_test_setup(a_write_that_failed_is_not_forgotten, setup),
		cmocka_unit_test_setup(a_torn_record_is_gone_and_told_the_rest_stays, setup),
		cmocka_unit_test_setup(a_file_that_ends_early_has_what_lies_before, setup),
		cmocka_unit_test_setup(a_wrong_octet_costs_its_record_and_no_other, setup),
		cmocka_unit_test_setup(a_wrong_octet_of_the_header_is_never_taken_for_whole, setup),
		cmocka_unit_test_setup(after_a_boot_without_a_close_records_may_be_old, setup),
		cmocka_unit_test_setup(a_copy_may_be_old, setup),
		cmocka_unit_test_setup(something_else_is_set_aside, setup),
		cmocka_unit_test_setup(secrets_go_to_no_disk, setup),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/state", dir);
	snprintf(bad, sizeof(bad), "%s.bad", path);
	snprintf(copy, sizeof(copy), "%s.copy", path);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	setup(NULL);
	rmdir(dir);
	return r;
}
