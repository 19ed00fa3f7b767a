/* fuzz_ctl.c - any octets to a control socket, in pieces: 0x00 ends a piece, 0xff 0xff makes the
 * client another one.  What is answered are whole lines of JSON with "ok", and no client is left.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/os/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	sd_event *event;
	struct ctl *ctl;
	struct sockaddr_un at;
} self;

static json_t *repeat(void *arg, const json_t *req, char *err)
{
	json_t *what = json_object_get(req, "what");

	(void)arg;
	if (!what)
		snprintf(err, 256, "what?");
	return what ? json_incref(what) : NULL;
}

static const struct ctl_cmd commands[] = {
	{"status", "a thing", repeat, false}, {"revoke", "another", repeat, true}, {0}};

static void set_up(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/fuzz_ctl.%d", (int)getpid());
	self.at.sun_family = AF_UNIX;
	strcpy(self.at.sun_path, path);
	assert(sd_event_new(&self.event) >= 0);
	assert(ctl_open(&self.ctl, self.event, path, commands, NULL) == 0);
}

static void turn(void)
{
	while (sd_event_run(self.event, 0) > 0)
		;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert(fd >= 0 && connect(fd, (struct sockaddr *)&self.at, sizeof(self.at)) == 0);
	turn();
	return fd;
}

/* Up to its end of line each answer is an object. */
static void check(int fd)
{
	static char buf[1 << 18];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	char *line = buf, *end;

	for (; n > 0 && (end = memchr(line, '\n', (size_t)(buf + n - line))); line = end + 1) {
		json_t *a = json_loadb(line, (size_t)(end - line), JSON_DECODE_ANY, NULL);

		assert(a && json_is_boolean(json_object_get(a, "ok")));
		json_decref(a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	int fd;

	if (!self.ctl)
		set_up();
	fd = dial();
	while (data < end) {
		const uint8_t *stop = memchr(data, 0, (size_t)(end - data));

		stop = stop ? stop : end;
		if (data < stop)
			send(fd, data, (size_t)(stop - data), MSG_NOSIGNAL);
		turn();
		check(fd);
		if (stop + 2 < end && stop[1] == 0xff && stop[2] == 0xff) {
			close(fd);
			fd = dial();
			stop += 2;
		}
		data = stop + 1;
	}
	close(fd);
	turn();
	return 0;
}
