#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "buffering/account.hpp"
#include "buffering/shm_file.hpp"

namespace tandem::detail {

/// A file in /dev/shm with the accounts of all objects, in whatever process of this user and place,
/// that add to one thing: there they outlive their processes, and others go on with them.
///
/// An account is of one process, by one word: its pid and start. Claiming and adopting are to
/// change that word, by compare-and-exchange: of all who try one succeeds, and when that one dies
/// on its next line the word says so to the next. Nothing else is done to adopt an account; its new
/// owner goes on with it as it would with its own. So there is no step in the middle of which who
/// adopts could be killed, and none that two could do.
///
/// The file is of this place (own_place() is in its name), so a pid in it is never that of another
/// pid namespace. It goes with its last account, under a lock on it that who claims takes, too; who
/// adds or adopts needs none, so a process that is stopped is in nobody's way.
///
/// Threads: safe from several.
class Segment : public std::enable_shared_from_this<Segment> {
 public:
  static constexpr std::size_t most_accounts = 512;

  struct Entered {
    std::shared_ptr<Segment> segment;
    std::unique_ptr<Account> own;  // none when all are taken
  };
  /// An account of this process, which has begun, in the segment of what `of` says; makes that
  /// where there is none. Throws Error when it cannot be had, is somebody else's, or is none.
  [[nodiscard]] static Entered enter(std::string_view of, std::string_view sender,
                                     std::chrono::milliseconds resend_for);

  Segment(Segment const&) = delete;
  Segment& operator=(Segment const&) = delete;
  ~Segment();

  /// The accounts of processes that have ended, and those that were left; they are this process's
  /// now.
  [[nodiscard]] std::vector<std::unique_ptr<Account>> adopt();

  // -- for accounts --

  void release(std::size_t place) noexcept;
  void leave(std::size_t place) noexcept;
  [[nodiscard]] Account::Layout& layout(std::size_t place) const noexcept;
  [[nodiscard]] std::string const& path() const noexcept { return path_; }

 private:
  struct Header;

  Segment(std::string path, ShmFile const& file, std::uint64_t own_word);
  [[nodiscard]] std::unique_ptr<Account> claim(ShmFile const& file, std::string_view sender,
                                               std::chrono::milliseconds resend_for);
  [[nodiscard]] bool is_empty() const noexcept;
  void remove_if_empty() const noexcept;

  std::string path_;
  std::uint64_t own_word_;
  std::uint64_t inode_;
  Header* header_;
};

}  // namespace tandem::detail
