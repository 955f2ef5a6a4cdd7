// with_redis COMMAND [ARGUMENT...]
//
// Runs COMMAND with the URL of a private redis-server as its last argument. The exit status is
// COMMAND's own, or 128 + the signal that ended it. How ctest runs the examples.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tandem/testing/redis_server.hpp>

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fputs("usage: with_redis COMMAND [ARGUMENT...]\n", stderr);
    return 2;
  }
  tandem::testing::RedisServer server;
  std::string url = server.url();
  std::vector<char*> command{argv + 1, argv + argc};
  command.push_back(url.data());
  command.push_back(nullptr);

  pid_t const child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // ctest kills only us when the time is over
    execvp(command[0], command.data());
    std::perror(command[0]);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    std::perror("with_redis");
    return 1;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
} catch (std::exception const& error) {
  std::fprintf(stderr, "with_redis: %s\n", error.what());
  return 1;
}
