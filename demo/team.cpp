#include "team.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <system_error>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace demo {
namespace {

[[noreturn]] void live(std::function<void(int)> const& work, int number, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it ended before that
  sigset_t none{};
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);  // whatever our parent does about signals
  try {
    work(number);
    ::_exit(0);  // what we have inherited is not ours to destroy
  } catch (std::exception const& error) {
    fmt::print(stderr, "worker {}: {}\n", number, error.what());
    ::_exit(1);
  }
}

}  // namespace

Team::Team(int size, std::function<void(int)> const& work)
    : complaints_{::memfd_create("tandem-demo-complaints", MFD_CLOEXEC)} {
  auto const parent = ::getpid();
  for (int number = 1; number <= size && complaints_ >= 0; ++number) {
    auto const pid = ::fork();
    if (pid < 0) break;
    if (pid == 0) {
      ::dup2(complaints_, STDERR_FILENO);
      live(work, number, parent);
    }
    members_.push_back({pid});
  }
  if (std::ssize(members_) == size) return;
  auto const error = errno;
  end();
  throw std::system_error{error, std::generic_category(), "starting the workers"};
}

Team::~Team() { end(); }

void Team::end() {
  for (int number = 1; number <= std::ssize(members_); ++number) kill(number);
  ::close(complaints_);
}

bool Team::Member::failed() const noexcept { return status && *status != 0 && !killed; }

int Team::number_of(pid_t pid) const noexcept {
  auto const found = std::find_if(members_.begin(), members_.end(),
                                  [pid](auto const& one) { return one.pid == pid; });
  return found == members_.end() ? 0 : static_cast<int>(found - members_.begin()) + 1;
}

int Team::working() const noexcept {
  return static_cast<int>(
      std::count_if(members_.begin(), members_.end(), [](auto const& one) { return !one.status; }));
}

void Team::look() {
  for (auto& one : members_) {
    int status = 0;
    if (!one.status && ::waitpid(one.pid, &status, WNOHANG) == one.pid) one.status = status;
  }
}

bool Team::freeze(int number) {
  auto& one = members_.at(static_cast<std::size_t>(number - 1));
  if (one.status) return false;
  ::kill(one.pid, SIGSTOP);
  int status = 0;
  if (::waitpid(one.pid, &status, WUNTRACED) != one.pid) return false;
  if (!WIFSTOPPED(status)) one.status = status;
  return !one.status;
}

void Team::thaw(int number) {
  if (!member(number).status) ::kill(member(number).pid, SIGCONT);
}

void Team::kill(int number) {
  auto& one = members_.at(static_cast<std::size_t>(number - 1));
  if (one.status) return;
  one.killed = true;
  ::kill(one.pid, SIGKILL);
  int status = 0;
  while (::waitpid(one.pid, &status, 0) < 0 && errno == EINTR) {
  }
  one.status = status;
}

std::string Team::complaints() const {
  std::string all;
  std::array<char, 4096> part{};
  while (true) {
    auto const count = ::pread(complaints_, part.data(), part.size(), std::ssize(all));
    if (count <= 0) return all;
    all.append(part.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace demo
