#include "buffering/segment.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tandem/core/error.hpp>
#include <tandem/core/script.hpp>

#include "core/fork.hpp"
#include "core/process.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Its lock is held for microseconds, but a process may be stopped with it.
constexpr std::chrono::seconds patience{2};
constexpr milliseconds look_again_after{1};

// To be changed with the layout: processes of two layouts count in two files.
constexpr std::string_view magic{"tandem 1"};

// Whose an account is: a process, or
constexpr std::uint64_t nobody = 0;
constexpr std::uint64_t anybody = ~std::uint64_t{0};  // who left it
constexpr int pid_bits = 22;                          // Linux: a pid is less than 2^22

std::uint64_t word_of(int pid, std::string_view start) noexcept {
  std::uint64_t ticks = 0;
  std::from_chars(start.data(), start.data() + start.size(), ticks);
  return ticks << pid_bits | static_cast<std::uint64_t>(pid);
}

bool has_ended(std::uint64_t word) {
  auto const pid = static_cast<int>(word & ((1U << pid_bits) - 1));
  return detail::has_ended(pid, std::to_string(word >> pid_bits));
}

}  // namespace

struct Segment::Header {
  struct Entry {
    std::atomic<std::uint64_t> owner;
    std::atomic<std::uint64_t> has_begun;  // 0: there is nothing in it, whatever it looks like
  };

  char magic[8];
  std::atomic<std::uint64_t> ever_taken;  // no place from here on
  std::array<Entry, most_accounts> entries;
};

namespace {

constexpr std::size_t first_account = 12 * 1024;
constexpr std::size_t account_size = 16 * 1024;
constexpr std::size_t whole = first_account + Segment::most_accounts * account_size;
static_assert(sizeof(Account::Layout) <= account_size);
constexpr ShmFile::Form form{magic, whole, first_account};

}  // namespace

Segment::Segment(std::string path, ShmFile const& file, std::uint64_t own_word)
    : path_{std::move(path)},
      own_word_{own_word},
      inode_{file.inode()},
      header_{static_cast<Header*>(file.map(whole, path_))} {
  static_assert(sizeof(Header) <= first_account);
}

Segment::~Segment() { ::munmap(header_, whole); }

Segment::Entered Segment::enter(std::string_view of, std::string_view sender,
                                milliseconds resend_for) {
  auto const place = own_place();
  auto const start = start_of(::getpid());
  if (place == "-" || start.empty()) {
    throw Error{
        "tandem: survive_crash needs a /proc that shows this process, by which others can tell "
        "that it has ended"};
  }
  auto const text = fmt::format("{} {}\n{}", magic, place, of);
  auto const path = fmt::format("/dev/shm/tandem.{}.{}", ::geteuid(), Script{text}.sha1());
  auto const give_up = steady_clock::now() + patience;
  for (;;) {
    bool is_busy = false;
    {
      NoFork const until_closed;
      auto file = ShmFile::open_or_make(path, form);
      is_busy = !file.try_lock();
      // Where its name is gone its last account was just leaving: the next one has a new file.
      if (!is_busy && file.has_name()) {
        Entered out{std::shared_ptr<Segment>{new Segment{path, file, word_of(::getpid(), start)}},
                    nullptr};
        out.own = out.segment->claim(file, sender, resend_for);
        return out;
      }
    }
    if (!is_busy) continue;
    if (steady_clock::now() >= give_up) {
      throw Error{fmt::format("tandem: {}: another process has kept it locked for {} s", path,
                              patience.count())};
    }
    std::this_thread::sleep_for(
        look_again_after);  // nobody tells who waits for a file with a deadline
  }
}

std::unique_ptr<Account> Segment::claim(ShmFile const& file, std::string_view sender,
                                        milliseconds resend_for) {
  for (std::size_t place = 0; place < most_accounts; ++place) {
    auto& entry = header_->entries[place];
    auto expected = nobody;
    if (!entry.owner.compare_exchange_strong(expected, own_word_)) continue;
    // Who dies from here on has left nothing there until it has begun.
    auto ever = header_->ever_taken.load();
    while (ever <= place && !header_->ever_taken.compare_exchange_weak(ever, place + 1)) {
    }
    try {
      file.reserve(first_account + place * account_size, account_size, path_);
      auto out = std::make_unique<Account>(shared_from_this(), place);
      out->begin(sender, resend_for);
      entry.has_begun = 1;
      return out;
    } catch (...) {
      entry.owner = nobody;
      throw;
    }
  }
  return nullptr;
}

std::vector<std::unique_ptr<Account>> Segment::adopt() {
  std::vector<std::unique_ptr<Account>> out;
  std::vector<std::uint64_t> alive{own_word_};
  auto const ever = std::min<std::size_t>(header_->ever_taken, most_accounts);
  for (std::size_t place = 0; place < ever; ++place) {
    auto& entry = header_->entries[place];
    auto word = entry.owner.load();
    if (word == nobody || std::find(alive.begin(), alive.end(), word) != alive.end()) continue;
    if (word != anybody && !has_ended(word)) {
      alive.push_back(word);
      continue;
    }
    if (!entry.owner.compare_exchange_strong(word, own_word_)) continue;  // another was first
    if (entry.has_begun == 0) {
      entry.owner = nobody;
    } else {
      out.push_back(std::make_unique<Account>(shared_from_this(), place));
    }
  }
  return out;
}

void Segment::release(std::size_t place) noexcept {
  auto& entry = header_->entries[place];
  entry.has_begun = 0;  // first: who dies here has left nothing
  entry.owner = nobody;
  remove_if_empty();
}

void Segment::leave(std::size_t place) noexcept { header_->entries[place].owner = anybody; }

Account::Layout& Segment::layout(std::size_t place) const noexcept {
  return *reinterpret_cast<Account::Layout*>(reinterpret_cast<char*>(header_) + first_account +
                                             place * account_size);
}

bool Segment::is_empty() const noexcept {
  return std::all_of(header_->entries.begin(), header_->entries.end(),
                     [](auto const& entry) { return entry.owner == nobody; });
}

/// Where the lock cannot be had in time the file stays, with nothing in it, until its next user
/// goes.
void Segment::remove_if_empty() const noexcept {
  for (auto const give_up = steady_clock::now() + patience; is_empty();) {
    {
      NoFork const until_closed;
      auto file = ShmFile::open_existing(path_);
      if (!file || file->inode() != inode_) return;
      if (file->try_lock()) {
        if (is_empty()) ::unlink(path_.c_str());
        return;
      }
    }
    if (steady_clock::now() >= give_up) return;
    std::this_thread::sleep_for(look_again_after);
  }
}

}  // namespace tandem::detail
