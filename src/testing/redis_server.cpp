#include "tandem/testing/redis_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

// The owner clones a supervisor, the supervisor starts the server. The supervisor alone makes and
// removes the folder, starts, stops and reaps the server; the owner asks it through a socket. It
// ends when the owner's process dies (a pidfd says so: forked children cannot hide it, threads do
// not matter) or gives up the socket, and when it is killed itself the kernel kills the server
// (PDEATHSIG: it has one thread).
//
// It is cloned without an exit signal, so that no wait() and no SIGCHLD of the owner ever meets it.

namespace tandem::testing {
namespace {

using Clock = std::chrono::steady_clock;

// ---- The supervisor's side: a copy of a process that may have had many threads ----
//
// Nothing here allocates or locks. Every call goes through syscall(2), because the wrappers that
// sanitizers put round libc take locks which another thread may have held in the moment of the
// clone.

template <typename... Arguments>
long sys(long number, Arguments... arguments) noexcept {
  return ::syscall(number, arguments...);
}

enum class Order : char { start, kill, pause, resume, report };

using Answer = std::int32_t;  // the server's pid, 0 when none runs, or -errno

struct Plan {
  pid_t owner;
  int channel;
  char const* folder;
  char const* log;
  char* const* command;  // [0] is the path of the binary
};

/// Calls visit(name, folder) for each entry and returns their number.
template <typename Visit>
int for_each_entry(int folder, Visit visit) noexcept {
  int count = 0;
  alignas(dirent64) std::array<char, 4096> buffer;
  sys(SYS_lseek, folder, 0L, SEEK_SET);
  for (long size; (size = sys(SYS_getdents64, folder, buffer.data(), buffer.size())) > 0;) {
    for (long at = 0; at < size;) {
      auto const* entry = reinterpret_cast<dirent64 const*>(buffer.data() + at);
      at += entry->d_reclen;
      auto const* name = static_cast<char const*>(entry->d_name);
      if (std::string_view{name} == "." || std::string_view{name} == "..") continue;
      visit(name, folder);
      ++count;
    }
  }
  return count;
}

/// rm -rf, for a folder that nobody writes to any more.
void remove_tree(int parent, char const* name) noexcept {
  auto const folder = static_cast<int>(
      sys(SYS_openat, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (folder >= 0) {
    auto const remove_entry = [](char const* entry, int in) {
      if (sys(SYS_unlinkat, in, entry, 0) != 0) remove_tree(in, entry);
    };
    // A file system may skip entries of a folder that shrinks while it is read: look again.
    for (int last = -1, now; (now = for_each_entry(folder, remove_entry)) != 0 && now != last;) {
      last = now;
    }
    sys(SYS_close, folder);
  }
  sys(SYS_unlinkat, parent, name, AT_REMOVEDIR);
}

void close_all_but(int kept) noexcept {
  if (sys(SYS_close_range, 0U, static_cast<unsigned>(kept) - 1, 0U) == 0 &&
      sys(SYS_close_range, static_cast<unsigned>(kept) + 1, ~0U, 0U) == 0) {
    return;
  }
  // Before Linux 5.9
  auto const own = static_cast<int>(
      sys(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for_each_entry(own, [kept](char const* name, int folder) {
    int number = 0;
    for (; *name != '\0'; ++name) number = number * 10 + (*name - '0');
    if (number != kept && number != folder) sys(SYS_close, number);
  });
  sys(SYS_close, own);
}

[[noreturn]] void become_server(Plan const& plan, pid_t supervisor) noexcept {
  sys(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (sys(SYS_getppid) != supervisor) sys(SYS_exit_group, 1);
  sys(SYS_setpgid, 0, 0);
  auto const log =
      sys(SYS_openat, AT_FDCWD, plan.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  sys(SYS_dup3, log, STDOUT_FILENO, 0);
  sys(SYS_dup3, log, STDERR_FILENO, 0);
  sys(SYS_chdir, plan.folder);
  std::uint64_t const no_signal = 0;
  sys(SYS_rt_sigprocmask, SIG_SETMASK, &no_signal, nullptr, sizeof no_signal);
  sys(SYS_execve, plan.command[0], plan.command, environ);
  constexpr std::string_view why = "the system cannot execute this file\n";
  sys(SYS_write, STDERR_FILENO, why.data(), why.size());
  for (;;) sys(SYS_exit_group, 127);
}

class Supervision {
 public:
  /// Runs with every signal blocked, from before the clone on.
  [[noreturn]] static void run(Plan plan) noexcept {
    Supervision{plan}.run();
    for (;;) sys(SYS_exit_group, 0);
  }

 private:
  explicit Supervision(Plan plan) noexcept : plan_{plan} {}

  void run() noexcept {
    leave_the_owner();
    // Before any descriptor of our own, so that none of the owner's survives; then 0, 1 and 2.
    close_all_but(plan_.channel);
    sys(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    sys(SYS_dup, 0);
    sys(SYS_dup, 0);

    auto const made = sys(SYS_mkdirat, AT_FDCWD, plan_.folder, 0700);
    answer(made == 0 ? 0 : -errno);
    if (made != 0) return;
    serve();
    end_server();
    remove_tree(AT_FDCWD, plan_.folder);
  }

  void leave_the_owner() noexcept {
    sys(SYS_setsid);  // Ctrl-C in the owner's terminal is not for us
    sys(SYS_prctl, PR_SET_NAME, "tandem-redis");
    sys(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);  // savers that the server forked come to us
    sys(SYS_umask, 0077);
    sys(SYS_chdir, "/");
    std::array<std::uint64_t, 8> const by_default{};  // struct sigaction of the kernel: SIG_DFL
    for (int signal = 1; signal <= 64; ++signal) {
      sys(SYS_rt_sigaction, signal, by_default.data(), nullptr, sizeof(std::uint64_t));
    }
  }

  void serve() noexcept {
    std::uint64_t const child_ended = std::uint64_t{1} << (SIGCHLD - 1);
    auto const children = static_cast<int>(
        sys(SYS_signalfd4, -1, &child_ended, sizeof child_ended, O_CLOEXEC | O_NONBLOCK));
    auto const owner = static_cast<int>(sys(SYS_pidfd_open, plan_.owner, 0U));
    std::array<pollfd, 3> events{
        {{plan_.channel, POLLIN, 0}, {children, POLLIN, 0}, {owner, POLLIN, 0}}};
    // Asked after pidfd_open: an owner who died before it, and whose number may be another's by
    // now, is not our parent any more. Without a pidfd (Linux before 5.3, some sandboxes) it is
    // asked by the clock.
    while (sys(SYS_getppid) == plan_.owner) {
      timespec tenth_of_a_second{0, 100'000'000};  // the system call writes to it
      auto* const patience = owner < 0 ? &tenth_of_a_second : nullptr;
      if (sys(SYS_ppoll, events.data(), events.size(), patience, nullptr, 0UL) <= 0) continue;
      if (events[2].revents != 0) return;
      if (events[1].revents != 0) {
        std::array<char, 128> drained;
        sys(SYS_read, children, drained.data(), drained.size());
        if (server_ > 0 && has_ended()) end_server();
      }
      if (events[0].revents != 0) {
        Order order{};
        if (sys(SYS_read, plan_.channel, &order, sizeof order) != sizeof order) return;
        answer(obey(order));
      }
    }
  }

  Answer obey(Order order) noexcept {
    switch (order) {
      case Order::start:
        if (server_ == 0) return start_server();
        break;
      case Order::kill:
        end_server();
        break;
      case Order::pause:
        if (server_ == 0) break;
        sys(SYS_kill, server_, SIGSTOP);
        await_change(WSTOPPED);
        break;
      case Order::resume:
        if (server_ > 0) sys(SYS_kill, server_, SIGCONT);
        break;
      case Order::report:
        if (server_ > 0 && has_ended()) end_server();
        break;
    }
    return server_;
  }

  Answer start_server() noexcept {
    auto const own = static_cast<pid_t>(sys(SYS_getpid));
    auto const child = static_cast<pid_t>(sys(SYS_clone, long{SIGCHLD}, 0L, 0L, 0L, 0L));
    if (child == 0) become_server(plan_, own);
    if (child < 0) return -errno;
    sys(SYS_setpgid, child, child);  // by both, so that it is done before either goes on
    return server_ = child;
  }

  /// Waits until the server has ended, or what else `options` says; leaves it to be reaped.
  int await_change(int options) noexcept {
    siginfo_t change{};
    sys(SYS_waitid, P_PID, server_, &change, options | WEXITED | WNOWAIT, nullptr);
    return change.si_pid;
  }

  bool has_ended() noexcept { return await_change(WNOHANG) == server_; }

  void end_server() noexcept {
    if (server_ == 0) return;
    sys(SYS_kill, -server_, SIGKILL);  // with the savers it forked: all of one process group
    while (sys(SYS_wait4, -server_, nullptr, 0, nullptr) > 0 || errno == EINTR) {
    }
    server_ = 0;
  }

  void answer(Answer value) noexcept { sys(SYS_write, plan_.channel, &value, sizeof value); }

  Plan plan_;
  pid_t server_ = 0;
};

// ---- The owner's side ----

[[noreturn]] void fail(std::string const& what) {
  throw std::runtime_error{"private redis-server: " + what};
}

[[noreturn]] void fail_with(int error, std::string const& what) {
  fail(what + ": " + std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_{number} {}
  Descriptor(Descriptor&& other) noexcept : number_{std::exchange(other.number_, -1)} {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
};

class Supervisor {
 public:
  /// What `plan` points to need only live until this returns.
  explicit Supervisor(Plan plan) : owner_{::getpid()} {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      fail_with(errno, "socketpair");
    }
    channel_ = Descriptor{ends[0]};
    Descriptor const theirs{ends[1]};
    plan.owner = owner_;
    plan.channel = theirs.get();

    // No handler of the owner may run in the clone: it starts with all signals blocked.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_ = static_cast<pid_t>(sys(SYS_clone, 0L, 0L, 0L, 0L, 0L));
    if (pid_ == 0) Supervision::run(plan);
    auto const error = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid_ < 0) fail_with(error, "clone");
  }
  Supervisor(Supervisor const&) = delete;
  Supervisor& operator=(Supervisor const&) = delete;

  ~Supervisor() {
    if (!is_ours()) return;
    ::shutdown(channel_.get(), SHUT_RDWR);  // unlike close, whoever else holds the channel
    while (::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    std::error_code ignored;  // nothing is left, unless somebody killed the supervisor
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  /// Waits until the supervisor has made its folder.
  void await_folder(std::string folder) {
    if (auto const made = answer(); made != 0) fail_with(-made, "cannot make " + folder);
    folder_ = std::move(folder);
  }

  [[nodiscard]] bool is_ours() const noexcept { return ::getpid() == owner_; }

  Answer ask(Order order) {
    if (!is_ours()) {
      throw std::logic_error{"private redis-server: only the process that made it commands it"};
    }
    std::scoped_lock const lock{mutex_};
    ::send(channel_.get(), &order, sizeof order, MSG_NOSIGNAL);
    return answer();
  }

 private:
  Answer answer() {
    Answer value{};
    ssize_t size;
    do {
      size = ::recv(channel_.get(), &value, sizeof value, 0);
    } while (size < 0 && errno == EINTR);
    if (size != sizeof value) fail("its supervisor process is gone");
    return value;
  }

  pid_t owner_;
  pid_t pid_ = -1;
  Descriptor channel_;
  std::string folder_;
  std::mutex mutex_;
};

std::string new_folder() {
  constexpr std::string_view url_safe =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._~-";
  std::random_device random;
  std::string name = "/tandem-redis-";
  for (int i = 0; i < 16; ++i) name += "0123456789abcdef"[random() % 16];
  auto const* chosen = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe)
  std::string const base = chosen == nullptr ? "" : chosen;
  bool const fits =
      base.starts_with('/') && base.find_first_not_of(url_safe) == std::string::npos &&
      base.size() + name.size() + sizeof "/redis.sock" <= sizeof sockaddr_un::sun_path;
  return (fits ? base : "/tmp") + name;
}

std::string find_binary(std::string wanted) {
  if (wanted.empty()) {
    auto const* named = std::getenv("TANDEM_REDIS_SERVER");  // NOLINT(concurrency-mt-unsafe)
    wanted = named == nullptr || *named == '\0' ? "redis-server" : named;
  }
  auto const is_program = [](std::filesystem::path const& path) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
  };
  if (wanted.find('/') != std::string::npos) {
    if (is_program(wanted)) return std::filesystem::absolute(wanted);
    fail("no program " + wanted);
  }
  auto const* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!rest.empty()) {
    auto const folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    auto const candidate = std::filesystem::path{folder} / wanted;
    if (is_program(candidate)) return std::filesystem::absolute(candidate);
  }
  fail("no " + wanted +
       " in $PATH (Debian: apt-get install redis-server; or name one by $TANDEM_REDIS_SERVER)");
}

/// A free port of 127.0.0.1, ours while `holder` is open: nobody else is given it, for listening or
/// as the near end of a connection, but a server that sets SO_REUSEADDR, as Redis does, can listen
/// on it.
struct Port {
  Port() : holder{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    int const yes = 1;
    sockaddr_in address{};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    if (::setsockopt(holder.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        ::bind(holder.get(), name, size) != 0 || ::getsockname(holder.get(), name, &size) != 0) {
      fail_with(errno, "no free port on 127.0.0.1");
    }
    number = ntohs(address.sin_port);
  }

  Descriptor holder;
  std::uint16_t number = 0;
};

Port free_port() {
  Port first;
  return first.number == 6379 ? Port{}
                              : std::move(first);  // never the port of the machine's own server
}

/// Whether the server answers a PING by anything but that it is still loading (a demand for a
/// password is as good as PONG).
bool answers(std::string const& path, Clock::time_point deadline) {
  auto const left = std::max(std::chrono::microseconds{1000},
                             std::chrono::ceil<std::chrono::microseconds>(deadline - Clock::now()));
  timeval const patience{left.count() / 1'000'000, left.count() % 1'000'000};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  Descriptor const socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  constexpr std::string_view ping = "*1\r\n$4\r\nPING\r\n";
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::send(socket.get(), ping.data(), ping.size(), MSG_NOSIGNAL) < 0) {
    return false;
  }
  std::string line;
  std::array<char, 256> buffer;
  while (line.find('\n') == std::string::npos) {
    auto const size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return false;
    line.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return !line.starts_with("-LOADING");
}

std::string text_of(std::string const& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

}  // namespace

struct RedisServer::State {
  explicit State(RedisServerOptions const& options)
      : deadline{options.start_deadline},
        port{options.tcp ? std::optional{free_port()} : std::nullopt},
        tls_port{options.tls ? std::optional{free_port()} : std::nullopt},
        command{command_of(options)},
        supervisor{plan()} {
    supervisor.await_folder(folder);
    start();
  }
  State(State const&) = delete;
  State& operator=(State const&) = delete;
  ~State() = default;

  [[nodiscard]] std::vector<std::string> command_of(RedisServerOptions const& options) const {
    auto const text = [](std::optional<Port> const& of) {
      return std::to_string(of ? of->number : 0);
    };
    std::vector<std::string> words{find_binary(options.binary), "--port", text(port)};
    auto const set = [&words](std::initializer_list<std::string> more) {
      words.insert(words.end(), more);
    };
    set({"--bind", "127.0.0.1", "--save", "", "--appendonly", options.persistent ? "yes" : "no"});
    // Handed to the kernel before each reply, which outlives a SIGKILL; the disk need not know.
    set({"--appendfsync", "no"});
    if (options.tls) {
      set({"--tls-port", text(tls_port), "--tls-cert-file", options.tls->certificate});
      set({"--tls-key-file", options.tls->key});
      if (options.tls->ca.empty()) {
        set({"--tls-auth-clients", "no"});
      } else {
        set({"--tls-auth-clients", "optional", "--tls-ca-cert-file", options.tls->ca});
      }
    }
    words.insert(words.end(), options.arguments.begin(), options.arguments.end());
    // Last, so that no argument takes the server out of our hands.
    set({"--unixsocket", socket, "--dir", folder, "--daemonize", "no"});
    return words;
  }

  Plan plan() {
    for (auto& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    return {.owner = 0,
            .channel = -1,
            .folder = folder.c_str(),
            .log = log.c_str(),
            .command = argv.data()};
  }

  void start() {
    if (auto const pid = supervisor.ask(Order::start); pid < 0) fail_with(-pid, "clone");
    auto const until = Clock::now() + deadline;
    // Asked again and again because a foreign program tells nobody when it is ready; the socket in
    // its folder appears before it listens.
    while (!answers(socket, until)) {
      auto const ended = supervisor.ask(Order::report) == 0;
      if (!ended && Clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
        continue;
      }
      if (!ended) supervisor.ask(Order::kill);
      fail(command.front() +
           (ended ? " ended while starting"
                  : " did not answer within " + std::to_string(deadline.count()) + " ms") +
           "; the end of its log:\n" + log_tail());
    }
  }

  [[nodiscard]] std::string log_tail() const {
    constexpr std::size_t enough = 2000;
    auto const all = text_of(log);
    return all.substr(all.size() - std::min(all.size(), enough));
  }

  void demand(Order order) {
    if (supervisor.ask(order) == 0) fail("it does not run");
  }

  std::chrono::milliseconds deadline;
  std::optional<Port> port;
  std::optional<Port> tls_port;
  std::string folder = new_folder();
  std::string socket = folder + "/redis.sock";
  std::string log = folder + "/redis.log";
  std::vector<std::string> command;
  std::vector<char*> argv;
  Supervisor supervisor;
};

RedisServer::RedisServer(RedisServerOptions const& options) {
  if (options.start_deadline <= std::chrono::milliseconds::zero()) {
    throw std::invalid_argument{"RedisServerOptions::start_deadline is " +
                                std::to_string(options.start_deadline.count()) +
                                " ms; at least 1 ms is accepted"};
  }
  state_ = std::make_unique<State>(options);
}

RedisServer::RedisServer(RedisServer&&) noexcept = default;
RedisServer& RedisServer::operator=(RedisServer&&) noexcept = default;
RedisServer::~RedisServer() = default;

std::string RedisServer::url() const { return "unix://" + state_->socket; }
std::string RedisServer::socket_path() const { return state_->socket; }
std::string RedisServer::folder() const { return state_->folder; }
std::uint16_t RedisServer::port() const { return state_->port ? state_->port->number : 0; }
std::uint16_t RedisServer::tls_port() const {
  return state_->tls_port ? state_->tls_port->number : 0;
}
pid_t RedisServer::pid() const { return state_->supervisor.ask(Order::report); }
std::string RedisServer::log() const { return text_of(state_->log); }

void RedisServer::pause() { state_->demand(Order::pause); }
void RedisServer::resume() { state_->demand(Order::resume); }
void RedisServer::kill() { state_->supervisor.ask(Order::kill); }

void RedisServer::restart() {
  kill();
  state_->start();
}

}  // namespace tandem::testing
