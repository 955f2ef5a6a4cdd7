#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tandem/testing/redis_server.hpp>

#include "support/watched_process.hpp"
#include "support/wire.hpp"

namespace tandem::testing {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using support::ProcessFacts;
using support::WatchedProcess;
using support::Wire;

static_assert(!std::is_copy_constructible_v<RedisServer>, "a server has one owner");
static_assert(std::is_nothrow_move_constructible_v<RedisServer>);

constexpr auto generous = 20s;

/// A forked child that runs `body`, tells what it returned, and then waits to be killed.
class Child {
 public:
  explicit Child(std::function<std::string(std::unique_ptr<RedisServer>&)> const& body) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      std::unique_ptr<RedisServer> server;  // not destroyed when the child is killed
      std::string told;
      try {
        told = body(server);
      } catch (std::exception const& error) {
        told = error.what();
      }
      auto const ignored = ::write(ends[1], told.c_str(), told.size() + 1);
      for (;;) ::pause();
      (void)ignored;
    }
    ::close(ends[1]);
    for (char letter; ::read(ends[0], &letter, 1) == 1 && letter != '\0';) told_ += letter;
    ::close(ends[0]);
  }
  Child(Child const&) = delete;
  Child& operator=(Child const&) = delete;
  ~Child() { kill(); }

  [[nodiscard]] std::string told() const { return told_; }

  [[nodiscard]] pid_t pid() const { return pid_; }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  std::string told_;
};

/// What a child tells of a server it owns: "<pid of the server> <its folder>".
std::string told_of(RedisServer const& server) {
  return std::to_string(server.pid()) + " " + server.folder();
}

/// The server, its supervisor and the folder of a Child, as seen from outside.
struct Owned {
  explicit Owned(Child const& owner) {
    std::istringstream told{owner.told()};
    pid_t pid = 0;
    told >> pid >> folder;
    EXPECT_TRUE(fs::exists(folder)) << owner.told();
    server.emplace(pid);
    supervisor.emplace(ProcessFacts{pid}.parent());
  }

  void expect_gone() const {
    EXPECT_TRUE(supervisor->ends_within(generous));
    EXPECT_TRUE(server->has_ended());
    EXPECT_FALSE(fs::exists(folder)) << folder;
  }

  std::string folder;
  std::optional<WatchedProcess> server;
  std::optional<WatchedProcess> supervisor;
};

struct ScratchFolder {
  ScratchFolder() : path{::mkdtemp(name.data())} {}
  ~ScratchFolder() { fs::remove_all(path); }
  std::string name = "/tmp/redis_server_test-XXXXXX";
  fs::path path;
};

// NOLINTBEGIN(concurrency-mt-unsafe): one thread here
/// Sets an environment variable for a scope.
class Environment {
 public:
  Environment(char const* name, std::string const& value) : name_{name} {
    if (auto const* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  Environment(Environment const&) = delete;
  Environment& operator=(Environment const&) = delete;
  ~Environment() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }

 private:
  char const* name_;
  std::optional<std::string> before_;
};
// NOLINTEND(concurrency-mt-unsafe)

std::string error_of(RedisServerOptions const& options) {
  try {
    RedisServer const server{options};
  } catch (std::runtime_error const& error) {
    return error.what();
  }
  return "started";
}

// ---- What it is ----

TEST(RedisServerTest, AnswersPingOnceConstructed) {
  RedisServer const server;
  EXPECT_EQ(Wire{server}("PING"), "+PONG\r\n");
}

TEST(RedisServerTest, UrlNamesItsSocket) {
  RedisServer const server;
  EXPECT_EQ(server.url(), "unix://" + server.socket_path());
  EXPECT_EQ(server.socket_path(), server.folder() + "/redis.sock");
  EXPECT_TRUE(fs::is_socket(server.socket_path()));
}

TEST(RedisServerTest, TwoServersShareNothing) {
  RedisServer const one;
  RedisServer const other;
  EXPECT_EQ(Wire{one}("SET key value"), "+OK\r\n");
  EXPECT_EQ(Wire{other}("EXISTS key"), ":0\r\n");
}

TEST(RedisServerTest, ListensOnNoPortUnlessAsked) {
  RedisServer const server;
  EXPECT_EQ(server.port(), 0);
  EXPECT_EQ(server.tls_port(), 0);
  EXPECT_EQ(Wire{server}("CONFIG GET port"), "*2\r\n$4\r\nport\r\n$1\r\n0\r\n");
}

TEST(RedisServerTest, MovesWithItsServer) {
  RedisServer first;
  auto const path = first.socket_path();
  RedisServer const second{std::move(first)};
  EXPECT_EQ(Wire{path}("PING"), "+PONG\r\n");
  EXPECT_EQ(second.socket_path(), path);
}

TEST(RedisServerTest, LogHasWhatTheServerWrote) {
  RedisServer const server;
  EXPECT_NE(server.log().find("eady to accept connections"), std::string::npos) << server.log();
}

// ---- What it can be told ----

TEST(RedisServerTest, PausedServerAnswersOnlyAfterResume) {
  RedisServer server;
  Wire const wire{server};
  server.pause();
  EXPECT_EQ(ProcessFacts{server.pid()}.state(), 'T');
  server.pause();  // again is allowed
  wire.send("PING");
  EXPECT_EQ(wire.receive(50ms), "");
  server.resume();
  EXPECT_EQ(wire.receive(), "+PONG\r\n");
}

TEST(RedisServerTest, KilledServerRefusesConnections) {
  RedisServer server;
  WatchedProcess const before{server.pid()};
  server.kill();
  EXPECT_TRUE(before.has_ended());
  EXPECT_EQ(server.pid(), 0);
  EXPECT_EQ(Wire{server}.error(), ECONNREFUSED);
  server.kill();  // again is allowed
}

TEST(RedisServerTest, PausedServerCanBeKilled) {
  RedisServer server;
  server.pause();
  server.kill();
  EXPECT_EQ(Wire{server}.error(), ECONNREFUSED);
}

TEST(RedisServerTest, KilledServerCannotBePausedOrResumed) {
  RedisServer server;
  server.kill();
  EXPECT_THROW(server.pause(), std::runtime_error);
  EXPECT_THROW(server.resume(), std::runtime_error);
}

TEST(RedisServerTest, KillTakesTheForkedSaverToo) {
  RedisServer server{{.arguments = {"--rdb-key-save-delay", "10000000"}}};
  Wire const wire{server};
  wire("SET key value");
  EXPECT_EQ(wire("BGSAVE"), "+Background saving started\r\n");
  auto const pid = std::to_string(server.pid());
  WatchedProcess const saver{
      std::stoi(ProcessFacts{server.pid()}.text("task/" + pid + "/children"))};
  server.kill();
  EXPECT_TRUE(saver.has_ended());
}

TEST(RedisServerTest, RestartGivesAnEmptyServerOnTheSameSocket) {
  RedisServer server;
  auto const path = server.socket_path();
  Wire{server}("SET key value");
  server.kill();
  server.restart();
  EXPECT_EQ(server.socket_path(), path);
  EXPECT_EQ(Wire{server}("EXISTS key"), ":0\r\n");
}

TEST(RedisServerTest, RestartOfARunningServerReplacesIt) {
  RedisServer server;
  WatchedProcess const before{server.pid()};
  server.restart();
  EXPECT_TRUE(before.has_ended());
  EXPECT_EQ(Wire{server}("PING"), "+PONG\r\n");
}

TEST(RedisServerTest, RestartKeepsTheOptions) {
  RedisServer server{{.arguments = {"--requirepass", "x"}, .tcp = true}};
  auto const port = server.port();
  server.restart();
  EXPECT_EQ(server.port(), port);
  EXPECT_EQ(Wire{port}("PING").substr(0, 7), "-NOAUTH");
}

TEST(RedisServerTest, PersistentServerKeepsWhatItAcknowledged) {
  RedisServer server{{.persistent = true}};
  EXPECT_EQ(Wire{server}("SET key value"), "+OK\r\n");
  server.kill();
  server.restart();
  EXPECT_EQ(Wire{server}("GET key"), "$5\r\nvalue\r\n");
}

TEST(RedisServerTest, ServerThatEndsByItselfIsNoticedAndCanBeRestarted) {
  RedisServer server;
  WatchedProcess const before{server.pid()};
  Wire{server}.send("SHUTDOWN NOSAVE");
  EXPECT_TRUE(before.ends_within(generous));
  EXPECT_EQ(server.pid(), 0);
  server.restart();
  EXPECT_EQ(Wire{server}("PING"), "+PONG\r\n");
}

// ---- TCP and TLS ----

TEST(RedisServerTest, TcpServerAnswersOnLoopback) {
  RedisServer const server{{.tcp = true}};
  EXPECT_NE(server.port(), 6379);
  EXPECT_EQ(Wire{server.port()}("PING"), "+PONG\r\n");
}

TEST(RedisServerTest, PortStaysItsOwnWhileItIsDown) {
  RedisServer server{{.tcp = true}};
  server.kill();
  EXPECT_EQ(Wire{server.port()}.error(), ECONNREFUSED);
  int const thief = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(::bind(thief, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(errno, EADDRINUSE);
  ::close(thief);
  server.restart();
  EXPECT_EQ(Wire{server.port()}("PING"), "+PONG\r\n");
}

TEST(RedisServerTest, TlsServerAnswersOverTls) {
  ScratchFolder const scratch;
  auto const key = scratch.path / "key.pem";
  auto const certificate = scratch.path / "certificate.pem";
  auto const make =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 " +
      ("-subj /CN=localhost -keyout " + key.string()) + " -out " + certificate.string() +
      " 2>/dev/null";
  ASSERT_EQ(std::system(make.c_str()), 0);  // NOLINT(concurrency-mt-unsafe)
  RedisServer const server{{.tls = RedisServerTls{.certificate = certificate, .key = key}}};
  auto const ask = "redis-cli --tls --cacert " + certificate.string() + " -p " +
                   std::to_string(server.tls_port()) + " PING";
  auto* const answer = ::popen(ask.c_str(), "r");
  std::array<char, 100> line{};
  EXPECT_STREQ(std::fgets(line.data(), line.size(), answer), "PONG\n");
  ::pclose(answer);
}

// ---- Gone with its owner, and only with its owner ----

TEST(RedisServerTest, NothingIsLeftAfterTheScope) {
  std::string folder;
  std::optional<WatchedProcess> process;
  {
    RedisServer const server{{.persistent = true}};
    Wire{server}("SET key value");
    folder = server.folder();
    process.emplace(server.pid());
  }
  EXPECT_TRUE(process->has_ended());
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_EQ(::waitpid(-1, nullptr, __WALL), -1);  // no zombie either
  EXPECT_EQ(errno, ECHILD);
}

TEST(RedisServerTest, OwnerKilledByNineLeavesNeitherServerNorFolder) {
  Child owner{[](auto& server) {
    server = std::make_unique<RedisServer>(RedisServerOptions{.persistent = true});
    return told_of(*server);
  }};
  Owned const owned{owner};
  EXPECT_FALSE(owned.server->has_ended());
  owner.kill();
  owned.expect_gone();
}

TEST(RedisServerTest, OwnerKilledWhileTheServerIsPausedLeavesNothing) {
  Child owner{[](auto& server) {
    server = std::make_unique<RedisServer>();
    server->pause();
    return told_of(*server);
  }};
  Owned const owned{owner};
  owner.kill();
  owned.expect_gone();
}

TEST(RedisServerTest, ProcessGroupOfTheOwnerMayBeKilledAsAWhole) {
  Child owner{[](auto& server) {
    ::setpgid(0, 0);
    server = std::make_unique<RedisServer>();
    return told_of(*server);
  }};
  Owned const owned{owner};
  ::kill(-owner.pid(), SIGKILL);  // as Ctrl-C reaches a whole group
  owned.expect_gone();
}

TEST(RedisServerTest, ForkedChildThatOutlivesTheOwnerDoesNotKeepIt) {
  Child owner{[](auto& server) {
    server = std::make_unique<RedisServer>();
    auto const heir = ::fork();
    if (heir == 0) {
      for (;;) ::pause();
    }
    return told_of(*server) + " " + std::to_string(heir);
  }};
  Owned const owned{owner};
  auto const told = owner.told();
  auto const heir = std::stoi(told.substr(told.rfind(' ')));
  owner.kill();
  owned.expect_gone();
  EXPECT_EQ(::kill(heir, SIGKILL), 0);  // it was there all the time
}

TEST(RedisServerTest, LivesOnWhenTheThreadThatMadeItEnds) {
  std::unique_ptr<RedisServer> server;
  std::thread{[&server] { server = std::make_unique<RedisServer>(); }}.join();
  WatchedProcess const process{server->pid()};
  WatchedProcess const supervisor{ProcessFacts{server->pid()}.parent()};
  EXPECT_FALSE(
      supervisor.ends_within(50ms));  // the kernel would signal it in the moment of the end
  EXPECT_FALSE(process.has_ended());
  EXPECT_EQ(Wire{*server}("PING"), "+PONG\r\n");
}

TEST(RedisServerTest, ForkedChildThatDestroysItDoesNotTakeItDown) {
  auto server = std::make_unique<RedisServer>();
  auto const child = ::fork();
  if (child == 0) {
    server.reset();
    ::_exit(0);
  }
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(Wire{*server}("PING"), "+PONG\r\n");
  EXPECT_GT(server->pid(), 0);
  EXPECT_TRUE(fs::exists(server->folder()));
}

TEST(RedisServerTest, ForkedChildCannotCommandIt) {
  RedisServer server;
  Child const child{[&server](auto&) -> std::string {
    try {
      server.kill();
    } catch (std::logic_error const&) {
      return "refused";
    }
    return "obeyed";
  }};
  EXPECT_EQ(child.told(), "refused");
  EXPECT_EQ(Wire{server}("PING"), "+PONG\r\n");
}

TEST(RedisServerTest, ServerGoesWithItsSupervisor) {
  std::string folder;
  {
    RedisServer const server;
    folder = server.folder();
    WatchedProcess const process{server.pid()};
    ::kill(ProcessFacts{server.pid()}.parent(), SIGKILL);
    EXPECT_TRUE(process.ends_within(generous));
    EXPECT_THROW((void)server.pid(), std::runtime_error);
  }
  EXPECT_FALSE(fs::exists(folder)) << folder;
}

// ---- A good neighbour to its owner ----

TEST(RedisServerTest, InheritsNoDescriptorOfTheOwner) {
  std::array<int, 2> leaky{};
  ASSERT_EQ(::pipe(leaky.data()), 0);  // not close-on-exec
  std::vector<std::string> ours;  // and standard output: ctest waits for whoever holds its pipe
  for (int number : {leaky[0], 1})
    ours.push_back(fs::read_symlink("/proc/self/fd/" + std::to_string(number)));
  RedisServer const server;
  for (auto const pid : {server.pid(), ProcessFacts{server.pid()}.parent()}) {
    for (auto const& descriptor : ProcessFacts{pid}.descriptors()) {
      EXPECT_TRUE(descriptor == "/dev/null" ||
                  std::count(ours.begin(), ours.end(), descriptor) == 0)
          << pid << " has " << descriptor;
    }
  }
  ::close(leaky[0]);
  ::close(leaky[1]);
}

TEST(RedisServerTest, StartsWhenTheOwnerClosedItsStandardDescriptors) {
  Child const owner{[](auto& server) {
    for (int number : {0, 1, 2}) ::close(number);
    server = std::make_unique<RedisServer>();
    return Wire{*server}("PING");
  }};
  EXPECT_EQ(owner.told(), "+PONG\r\n");
}

TEST(RedisServerTest, InheritsNoSignalSettingOfTheOwner) {
  Child const owner{[](auto& server) {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
    ::signal(SIGUSR2, SIG_IGN);
    server = std::make_unique<RedisServer>();
    return ProcessFacts{server->pid()}.text("status");
  }};
  auto const mask = [&owner](std::string const& name) {
    return std::stoull(owner.told().substr(owner.told().find(name) + name.size()), nullptr, 16);
  };
  EXPECT_EQ(mask("SigBlk:"), 0U);
  EXPECT_EQ(mask("SigIgn:") & (1U << (SIGUSR2 - 1)), 0U);
}

TEST(RedisServerTest, OwnerMayIgnoreTheEndOfItsChildren) {
  Child const owner{[](auto& server) {
    ::signal(SIGCHLD, SIG_IGN);
    server = std::make_unique<RedisServer>();
    server->restart();
    auto const folder = server->folder();
    auto const answer = Wire{*server}("PING");
    server.reset();
    return answer + (fs::exists(folder) ? "left" : "gone");
  }};
  EXPECT_EQ(owner.told(), "+PONG\r\ngone");
}

TEST(RedisServerTest, WaitForAnyChildDoesNotSeeIt) {
  RedisServer const server;
  EXPECT_EQ(::wait(nullptr), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(RedisServerTest, LivesInTheTemporaryFolderOfTheEnvironment) {
  ScratchFolder const scratch;
  Environment const environment{"TMPDIR", scratch.path};
  RedisServer const server;
  EXPECT_EQ(fs::path{server.folder()}.parent_path(), scratch.path);
}

TEST(RedisServerTest, LivesInTmpWhenTheEnvironmentNamesAFolderTooDeepForASocket) {
  ScratchFolder const scratch;
  auto const deep = scratch.path / std::string(100, 'x');
  fs::create_directory(deep);
  Environment const environment{"TMPDIR", deep};
  RedisServer const server;
  EXPECT_EQ(fs::path{server.folder()}.parent_path(), "/tmp");
}

// ---- When it cannot be started ----

TEST(RedisServerTest, MissingBinaryIsNamedWithTheCure) {
  auto const error = error_of({.binary = "no-such-redis"});
  EXPECT_NE(error.find("no no-such-redis in $PATH"), std::string::npos) << error;
  EXPECT_NE(error.find("apt-get install redis-server"), std::string::npos) << error;
  EXPECT_NE(error_of({.binary = "/no/such"}).find("no program /no/such"), std::string::npos);
}

TEST(RedisServerTest, EnvironmentNamesTheBinary) {
  Environment const environment{"TANDEM_REDIS_SERVER", "/no/such/valkey"};
  auto const error = error_of({});
  EXPECT_NE(error.find("/no/such/valkey"), std::string::npos) << error;
}

TEST(RedisServerTest, FileThatIsNoProgramIsAClearError) {
  ScratchFolder const scratch;
  auto const binary = scratch.path / "not-a-program";
  std::ofstream{binary} << "text";
  fs::permissions(binary, fs::perms::owner_all);
  auto const error = error_of({.binary = binary});
  EXPECT_NE(error.find("cannot execute this file"), std::string::npos) << error;
}

TEST(RedisServerTest, BadArgumentIsReportedInTheServersWords) {
  auto const error = error_of({.arguments = {"--no-such-setting", "1"}});
  EXPECT_NE(error.find("ended while starting"), std::string::npos) << error;
  EXPECT_NE(error.find("Bad directive"), std::string::npos) << error;
}

TEST(RedisServerTest, SilentServerIsGivenUpAtTheDeadlineAndLeavesNothing) {
  ScratchFolder const scratch;
  auto const binary = scratch.path / "silent";
  std::ofstream{binary} << "#!/bin/sh\nexec sleep 1000\n";
  fs::permissions(binary, fs::perms::owner_all);
  auto const folder = scratch.path / "temporary";
  fs::create_directory(folder);
  Environment const environment{"TMPDIR", folder};
  auto const error = error_of({.binary = binary, .start_deadline = 50ms});
  EXPECT_NE(error.find("did not answer within 50 ms"), std::string::npos) << error;
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST(RedisServerTest, FolderThatCannotBeMadeIsNamed) {
  Environment const environment{"TMPDIR", "/proc"};
  auto const error = error_of({});
  EXPECT_NE(error.find("cannot make /proc/tandem-redis-"), std::string::npos) << error;
}

TEST(RedisServerTest, DeadlineMustBePositive) {
  EXPECT_THROW(RedisServer{{.start_deadline = 0ms}}, std::invalid_argument);
}

}  // namespace
}  // namespace tandem::testing
