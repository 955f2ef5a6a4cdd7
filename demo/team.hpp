#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace demo {

/// Processes that work at one thing, numbered from 1: forks of this one. They end at the latest
/// when it does.
class Team {
 public:
  /// Forks `size` workers; each calls `work` with its number. Make it while the process has one
  /// thread.
  Team(int size, std::function<void(int)> const& work);
  Team(Team const&) = delete;
  Team& operator=(Team const&) = delete;
  ~Team();  ///< kills those that are left

  struct Member {
    pid_t pid = 0;
    std::optional<int> status{};  ///< as waitpid gave it, once it has ended
    bool killed = false;          ///< by us, on purpose

    [[nodiscard]] bool failed() const noexcept;  ///< it said that something was wrong, or crashed
  };
  [[nodiscard]] std::vector<Member> const& members() const noexcept { return members_; }
  [[nodiscard]] Member const& member(int number) const {
    return members_.at(static_cast<std::size_t>(number - 1));
  }
  [[nodiscard]] int number_of(pid_t pid) const noexcept;  ///< 0: none of ours
  [[nodiscard]] int working() const noexcept;             ///< how many have not ended

  /// Takes notice of who has ended.
  void look();

  /// Stops it in its tracks; whether it stands still now, and has not ended.
  bool freeze(int number);
  void thaw(int number);
  void kill(int number);  ///< kill -9

  /// What they have written to their standard error.
  [[nodiscard]] std::string complaints() const;

 private:
  void end();

  std::vector<Member> members_{};
  int complaints_;
};

}  // namespace demo
