/* test_certs.c - nothing of a private key's file stays in memory but the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include "common/os/certs.h"

#define LINE   64        /* base64 digits of a line of PEM */
#define CHUNK  65536     /* of memory that is looked at */
#define REGION 0x1000000 /* larger ones are not: the sanitizer's own */
#define MASK   0x5a      /* what is looked for must not be found where it is kept */

static char dir[] = "/tmp/test_certs.XXXXXX";

static void mask(uint8_t *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] ^= MASK;
}

/* In another process: a key, its certificate; a line of the key's file, masked, to 'fd'. */
static void make_files(const struct certs_files *f, int fd)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *out = fopen(f->key, "w");
	char line[LINE + 2] = "";

	fchmod(fileno(out), 0600);
	if (PEM_write_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
		_exit(1);
	fclose(out);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400 * 30);
	X509_set_pubkey(cert, key);
	out = fopen(f->certificate, "w");
	if (X509_sign(cert, key, EVP_sha256()) == 0 || PEM_write_X509(out, cert) != 1)
		_exit(1);
	fclose(out);
	out = fopen(f->key, "r");
	for (int i = 0; i < 3; i++)
		if (!fgets(line, sizeof(line), out))
			_exit(1);
	mask((uint8_t *)line, LINE);
	_exit(write(fd, line, LINE) == LINE ? 0 : 1);
}

/* Has this process 'masked', unmasked, anywhere? */
static bool in_memory(const uint8_t masked[LINE])
{
	static uint8_t chunk[CHUNK + LINE];
	FILE *maps = fopen("/proc/self/maps", "r"), *mem = fopen("/proc/self/mem", "r");
	unsigned long from, to;
	char text[512], rights[8];
	bool found = false;
	size_t n;

	assert_true(maps && mem);
	setvbuf(mem, NULL, _IONBF, 0);
	while (fgets(text, sizeof(text), maps)) {
		assert_int_equal(sscanf(text, "%lx-%lx %7s", &from, &to, rights), 3);
		if (rights[0] != 'r' || rights[1] != 'w' || to - from > REGION)
			continue;
		for (; from < to && fseek(mem, (long)from, SEEK_SET) == 0; from += CHUNK) {
			n = fread(chunk, 1, to - from < sizeof(chunk) ? to - from : sizeof(chunk),
				mem);
			mask(chunk, n);
			found |= memmem(chunk, n, masked, LINE) != NULL;
		}
	}
	fclose(maps);
	fclose(mem);
	return found;
}

static void the_text_of_a_private_key_is_wiped(void **state)
{
	struct certs_files f = {0};
	char why[CERTS_WHY_SIZE] = "", *copy;
	uint8_t masked[LINE];
	SSL_CTX *ctx;
	int fd[2], status;

	(void)state;
	snprintf(f.certificate, sizeof(f.certificate), "%s/cert", dir);
	snprintf(f.key, sizeof(f.key), "%s/key", dir);
	memcpy(f.ca, f.certificate, sizeof(f.ca));
	assert_int_equal(pipe(fd), 0);
	if (fork() == 0)
		make_files(&f, fd[1]);
	assert_int_equal(read(fd[0], masked, LINE), LINE);
	wait(&status);
	assert_int_equal(status, 0);

	ctx = SSL_CTX_new(TLS_method());
	assert_int_equal(certs_load(ctx, NULL, &f, why), 0);
	assert_non_null(SSL_CTX_get0_privatekey(ctx));
	assert_false(in_memory(masked));
	copy = malloc(LINE);
	memcpy(copy, masked, LINE);
	mask((uint8_t *)copy, LINE);
	assert_true(in_memory(masked)); /* it would be found */
	free(copy);
	SSL_CTX_free(ctx);
	unlink(f.certificate);
	unlink(f.key);
	close(fd[0]);
	close(fd[1]);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_of_a_private_key_is_wiped),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
