#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <string>

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"
#include "support/sockets.hpp"

namespace tandem::support {

/// A child of this process, like `Forked`, that is the first of a pid namespace of its own, as in a
/// container: it calls itself 1. What it forks ends with it.
class Contained {
 public:
  enum class Proc {
    own,   // /proc shows the processes of the namespace
    outer  // /proc is left as it was, and its numbers are not those of getpid()
  };

  Contained(Proc proc, std::function<std::string()> const& body)
      : outer_{[this, proc, &body] {
          enter_namespaces();
          Forked inner{[proc, &body] {
            if (proc == Proc::own) mount_proc();
            return body();
          }};
          *pid_ = inner.pid();
          return inner.told(std::chrono::hours{1});
        }} {}

  /// Why there can be none here; empty when there can.
  [[nodiscard]] static std::string refusal(Proc proc) {
    auto const told =
        Contained{proc, [] { return ::getpid() == 1 ? "" : "is not the first"; }}.told();
    return told.empty() ? "" : "no pid namespace here: " + told;
  }

  [[nodiscard]] std::string told() { return outer_.told(); }

  /// As processes out here know it.
  [[nodiscard]] pid_t pid() const {
    (void)eventually([this] { return *pid_ != 0; });
    return *pid_;
  }

 private:
  /// The namespace is that of the children from now on.
  static void enter_namespaces() {
    int const both = CLONE_NEWPID | CLONE_NEWNS;
    // Who is not root may do it as the root of a user namespace, where the kernel allows that.
    if (::unshare(both) != 0) required(::unshare(both | CLONE_NEWUSER), "unshare");
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // which a change of capabilities has undone
  }
  static void mount_proc() {
    required(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount --make-private");
    required(::mount("proc", "/proc", "proc", 0, nullptr), "mount /proc");
  }

  Shared<std::atomic<int>> pid_{};
  Forked outer_;
};

}  // namespace tandem::support
