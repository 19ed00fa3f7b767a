/* probe - traffic of the network tests: numbered UDP datagrams at a steady rate and a checked TCP
 * transfer, without threads.  All times are ns of CLOCK_MONOTONIC, which all network namespaces of
 * a machine share, so sender and receiver can be compared.
 *
 *   probe serve PORT RECORD        UDP: records and echoes what comes; TCP: echoes
 *   probe udp ADDR PORT USEC RECORD  one datagram every USEC us until SIGTERM; records the echoes
 *   probe tcp ADDR PORT KBPS       says "flowing" when it does; at SIGTERM one JSON line: is all
 *                                  back, and whole?
 *   probe flood ADDR PORT SECONDS  64-byte datagrams as fast as they go; prints how many
 *   probe sink PORT                counts UDP datagrams until SIGTERM
 *
 * A record is four u64 in host order per datagram: sequence number, sent, received, sender's port.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define N_TCP     32
#define TCP_CHUNK 16384
#define BATCH     64
#define RECORDS   64
#define NS        1000000000ULL
#define DRAIN_MS  60000 /* how long the echo of a TCP transfer may take to come back */

struct datagram {
	uint64_t seq, sent;
};
struct record {
	uint64_t seq, sent, received, port;
};

struct log {
	int fd;
	unsigned n;
	struct record buf[RECORDS];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void log_flush(struct log *l)
{
	size_t size = l->n * sizeof(l->buf[0]);

	if (size && write(l->fd, l->buf, size) != (ssize_t)size)
		die("record");
	l->n = 0;
}

static void log_open(struct log *l, const char *path)
{
	l->n = 0;
	l->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (l->fd < 0)
		die(path);
}

static void log_put(struct log *l, struct record r)
{
	l->buf[l->n++] = r;
	if (l->n == RECORDS)
		log_flush(l);
}

static int stop_fd(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		die("signalfd");
	return fd;
}

static int timer_fd(uint64_t interval_ns)
{
	struct timespec t = {(time_t)(interval_ns / NS), (long)(interval_ns % NS)};
	struct itimerspec spec = {t, t};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) < 0)
		die("timerfd");
	return fd;
}

static uint64_t timer_read(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	return n;
}

static uint16_t number(const char *s, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*end || n == 0 || n > max) {
		fprintf(stderr, "probe: %s: not a number from 1 to %lu\n", s, max);
		exit(2);
	}
	return (uint16_t)n;
}

/* What comes while the process waits for a processor is neither lost nor late, and what leaves
 * while the network's part of the kernel does is not refused. */
static void be_patient(int fd)
{
	int one = 1, size = 64 << 20; /* a busy machine leaves it out for seconds */

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
}

static int bound(int type, const char *port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(number(port, 65535))};
	int one = 1;
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_DGRAM)
		be_patient(fd);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, N_TCP) < 0)
		die("listen");
	return fd;
}

static int connected(int type, const char *addr, const char *port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(number(port, 65535))};
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET6, addr, &a.sin6_addr) != 1) {
		errno = EINVAL;
		die(addr);
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	if (type == SOCK_DGRAM)
		be_patient(fd);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* When the kernel got the datagram: its stamp is wall clock, so that the process's own delay in
 * waking up does not count as the network's. */
static uint64_t arrival(struct msghdr *m)
{
	struct cmsghdr *c;
	struct timespec stamp, wall;
	uint64_t mono = now_ns();
	int64_t age;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
		clock_gettime(CLOCK_REALTIME, &wall);
		age = (wall.tv_sec - stamp.tv_sec) * (int64_t)NS + wall.tv_nsec - stamp.tv_nsec;
		return age > 0 ? mono - (uint64_t)age : mono;
	}
	return mono;
}

static void udp_drain(int fd, struct log *l, bool echo)
{
	struct datagram d;
	struct sockaddr_in6 from;
	char control[128];
	struct iovec iov = {&d, sizeof(d)};
	struct msghdr m;

	for (;;) {
		m = (struct msghdr){.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &m, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n != sizeof(d)) /* ICMP errors while a route is missing are part of the game */
			continue;
		log_put(l, (struct record){d.seq, d.sent, arrival(&m), ntohs(from.sin6_port)});
		if (echo)
			sendto(fd, &d, sizeof(d), 0, (struct sockaddr *)&from, sizeof(from));
	}
}

/* An echoing TCP connection: what was read and not yet written waits in 'buf'. */
struct echo {
	size_t at, size;
	char buf[TCP_CHUNK];
};
static struct echo echoes[N_TCP];

/* Returns false when the connection has ended. */
static bool echo_step(int fd, struct echo *e)
{
	for (;;) {
		ssize_t n;

		if (e->at == e->size) {
			n = read(fd, e->buf, sizeof(e->buf));
			if (n <= 0)
				return n < 0 && errno == EAGAIN;
			e->at = 0;
			e->size = (size_t)n;
		}
		n = write(fd, e->buf + e->at, e->size - e->at);
		if (n < 0)
			return errno == EAGAIN;
		e->at += (size_t)n;
	}
}

static void accept_one(int listener, struct pollfd *fds, unsigned *n_fds, unsigned first)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (*n_fds == first + N_TCP) {
		close(fd);
		return;
	}
	echoes[*n_fds - first] = (struct echo){0};
	fds[(*n_fds)++] = (struct pollfd){fd, POLLIN, 0};
}

static int serve(char **arg)
{
	enum { STOP, FLUSH, UDP, LISTEN, FIRST };
	static struct log l;
	struct pollfd fds[FIRST + N_TCP];
	unsigned n = FIRST;

	log_open(&l, arg[1]);
	fds[STOP] = (struct pollfd){stop_fd(), POLLIN, 0};
	fds[FLUSH] = (struct pollfd){timer_fd(NS / 20), POLLIN, 0};
	fds[UDP] = (struct pollfd){bound(SOCK_DGRAM, arg[0]), POLLIN, 0};
	fds[LISTEN] = (struct pollfd){bound(SOCK_STREAM, arg[0]), POLLIN, 0};
	puts("ready");
	fflush(stdout);
	while (poll(fds, n, -1) >= 0 && !fds[STOP].revents) {
		if (fds[FLUSH].revents && timer_read(fds[FLUSH].fd))
			log_flush(&l);
		if (fds[UDP].revents)
			udp_drain(fds[UDP].fd, &l, true);
		if (fds[LISTEN].revents)
			accept_one(fds[LISTEN].fd, fds, &n, FIRST);
		for (unsigned i = FIRST; i < n; i++) {
			struct echo *e = &echoes[i - FIRST];

			if (fds[i].revents && !echo_step(fds[i].fd, e)) {
				close(fds[i].fd);
				n--;
				fds[i] = fds[n];
				*e = echoes[n - FIRST];
			} else {
				fds[i].events = e->at < e->size ? POLLOUT : POLLIN;
			}
		}
	}
	log_flush(&l);
	return 0;
}

static int udp(char **arg)
{
	static struct log l;
	int fd = connected(SOCK_DGRAM, arg[0], arg[1]);
	struct pollfd fds[] = {{stop_fd(), POLLIN, 0},
		{timer_fd((uint64_t)number(arg[2], 60000) * 1000), POLLIN, 0}, {fd, POLLIN, 0},
		{timer_fd(NS / 20), POLLIN, 0}};
	struct datagram d = {0};

	log_open(&l, arg[3]);
	/* A sender that waits for the processor would be taken for a network that does not deliver.
	 */
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
	while (poll(fds, 4, -1) >= 0 && !fds[0].revents) {
		if (fds[1].revents) {
			uint64_t n = timer_read(fds[1].fd);

			/* What was missed while the process did not run is not caught up: such a
			 * burst would overflow queues that no steady sender ever fills. */
			for (n = n < BATCH ? n : BATCH; n; n--) {
				d.sent = now_ns();
				/* A lost datagram is a result, not an error. */
				if (send(fd, &d, sizeof(d), 0) < 0 && errno == EBADF)
					die("send");
				d.seq++;
			}
		}
		if (fds[2].revents)
			udp_drain(fd, &l, false);
		if (fds[3].revents && timer_read(fds[3].fd))
			log_flush(&l);
	}
	log_flush(&l);
	printf("{\"sent\": %" PRIu64 "}\n", d.seq);
	return 0;
}

/* The octet that stands at 'pos' of every TCP transfer. */
static uint8_t pattern(uint64_t pos)
{
	return (uint8_t)(pos * 131 + (pos >> 13));
}

struct transfer {
	uint64_t sent, received;
	bool corrupt, ended;
	int error;
};

static void transfer_send(int fd, struct transfer *t, uint64_t upto)
{
	uint8_t buf[TCP_CHUNK];

	while (t->sent < upto && !t->error) {
		size_t size = upto - t->sent < sizeof(buf) ? (size_t)(upto - t->sent) : sizeof(buf);
		ssize_t n;

		for (size_t i = 0; i < size; i++)
			buf[i] = pattern(t->sent + i);
		n = send(fd, buf, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			t->error = errno;
		else
			t->sent += (uint64_t)n;
	}
}

static void transfer_receive(int fd, struct transfer *t)
{
	uint8_t buf[TCP_CHUNK];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			t->corrupt |= buf[i] != pattern(t->received++);
	if (n == 0)
		t->ended = true;
	else if (errno != EAGAIN)
		t->error = errno;
}

static int tcp(char **arg)
{
	uint64_t per_tick = (uint64_t)number(arg[2], 65535) * 1000 / 8 / 100;
	int stop = stop_fd(); /* first: a stop while it connects is not the end of it */
	int fd = connected(SOCK_STREAM, arg[0], arg[1]);
	struct pollfd fds[] = {{stop, POLLIN, 0}, {timer_fd(NS / 100), POLLIN, 0}, {fd, POLLIN, 0}};
	struct transfer t = {0};
	uint64_t upto = 0, deadline = 0;
	bool broken, flowing = false;

	while (poll(fds, 3, -1) >= 0 && !t.error && !t.ended) {
		if (fds[0].revents && !deadline) {
			upto = t.sent;
			deadline = now_ns() + DRAIN_MS * (NS / 1000);
			shutdown(fd, SHUT_WR);
			fds[0].fd = -1;
		}
		if (fds[2].revents)
			transfer_receive(fd, &t);
		if (t.received && !flowing) {
			flowing = true;
			puts("flowing");
			fflush(stdout);
		}
		if (fds[1].revents && timer_read(fds[1].fd)) {
			if (deadline && now_ns() > deadline)
				break;
			/* What the window did not take is not caught up: the rate is a limit. */
			upto = deadline ? upto : t.sent + per_tick;
			transfer_send(fd, &t, upto);
		}
	}
	broken = t.error || t.corrupt || !t.ended || !deadline || t.sent != t.received;
	printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"broken\": %s, \"corrupt\": %s, \"error\": \"%s\"}\n",
		t.sent, t.received, broken ? "true" : "false", t.corrupt ? "true" : "false",
		t.error ? strerror(t.error) : "");
	return broken;
}

static int flood(char **arg)
{
	char payload[64 - 8] = {0}; /* 64 octets of UDP, header included */
	struct iovec iov = {payload, sizeof(payload)};
	struct mmsghdr m[BATCH] = {0};
	int fd = connected(SOCK_DGRAM, arg[0], arg[1]);
	uint64_t end = now_ns() + number(arg[2], 3600) * NS, sent = 0;

	fcntl(fd, F_SETFL, 0);
	for (int i = 0; i < BATCH; i++)
		m[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	while (now_ns() < end) {
		int n = sendmmsg(fd, m, BATCH, 0);

		if (n > 0)
			sent += (unsigned)n;
	}
	printf("{\"sent\": %" PRIu64 "}\n", sent);
	return 0;
}

static int sink(char **arg)
{
	static char payload[BATCH][64];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH] = {0};
	struct pollfd fds[] = {{stop_fd(), POLLIN, 0}, {bound(SOCK_DGRAM, arg[0]), POLLIN, 0}};
	uint64_t received = 0;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){payload[i], sizeof(payload[i])};
		m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	puts("ready");
	fflush(stdout);
	while (poll(fds, 2, -1) >= 0 && !fds[0].revents) {
		int n = recvmmsg(fds[1].fd, m, BATCH, 0, NULL);

		if (n > 0)
			received += (unsigned)n;
	}
	printf("{\"received\": %" PRIu64 "}\n", received);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int n_args;
		int (*run)(char **);
	} modes[] = {{"serve", 2, serve}, {"udp", 4, udp}, {"tcp", 3, tcp}, {"flood", 3, flood},
		{"sink", 1, sink}};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc == modes[i].n_args + 2 && strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argv + 2);
	fputs("usage: probe serve PORT RECORD | udp ADDR PORT USEC RECORD | tcp ADDR PORT KBPS |\n"
	      "       flood ADDR PORT SECONDS | sink PORT\n",
		stderr);
	return 2;
}
