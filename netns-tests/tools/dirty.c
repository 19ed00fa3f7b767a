/* dirty sequential|random MEGABYTES MB_PER_S - writes to memory at this rate, for live migrations.
 * Also as a CGI program, asked "MODE-MEGABYTES-MB_PER_S": answers at once and goes on behind; what
 * was begun before ends.  "fill-MEGABYTES" writes to so much once, answers, and leaves it to
 * others: memory as it is after days, not as new. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE     4096u
#define TICK_NS  10000000 /* writes come in bursts of so long a time's share */
#define PID_FILE "/tmp/dirty.pid"

static int dirty(const char *mode, unsigned megabytes, unsigned rate)
{
	size_t pages = ((size_t)megabytes << 20) / PAGE, at = 0;
	size_t burst = ((size_t)rate << 20) / PAGE / (1000000000 / TICK_NS);
	struct timespec tick = {.tv_nsec = TICK_NS};
	uint8_t *memory = malloc(pages * PAGE);
	uint64_t r = 88172645463325252u;

	if (!memory || !pages)
		return 1;
	for (uint8_t value = 1;; value++) {
		for (size_t i = 0; i < burst; i++) {
			r ^= r << 13, r ^= r >> 7, r ^= r << 17; /* xorshift */
			at = *mode == 'r' ? r % pages : (at + 1) % pages;
			memory[at * PAGE] = value;
		}
		nanosleep(&tick, NULL);
	}
}

static void fill(unsigned megabytes)
{
	size_t size = (size_t)megabytes << 20;
	volatile uint8_t *memory = malloc(size);

	for (size_t at = 0; memory && at < size; at += PAGE)
		memory[at] = 1;
}

static void end_what_runs(void)
{
	FILE *f = fopen(PID_FILE, "r");
	int pid;

	if (f && fscanf(f, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (f)
		fclose(f);
}

/* Leaves the caller's connection to the answer. */
static void go_on_behind(void)
{
	FILE *f;

	if (fork())
		_exit(0);
	f = fopen(PID_FILE, "w");
	if (f) {
		fprintf(f, "%d\n", getpid());
		fclose(f);
	}
	for (int fd = 0; fd < 3; fd++)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *query = getenv("QUERY_STRING");
	unsigned megabytes = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	unsigned rate = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
	char mode[16] = "";

	if (argc == 4)
		return dirty(argv[1], megabytes, rate);
	if (!query || sscanf(query, "%15[a-z]-%u-%u", mode, &megabytes, &rate) < 1)
		return 2;
	end_what_runs();
	if (*mode == 'f')
		fill(megabytes);
	printf("Content-type: text/plain\r\n\r\ndone\n");
	fflush(stdout);
	if (*mode == 'i' || *mode == 'f')
		return 0;
	go_on_behind();
	return dirty(mode, megabytes, rate);
}
