#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/core/cached_hash.hpp>

#include "caching/change_listeners.hpp"
#include "caching/entry_table.hpp"
#include "core/core.hpp"

namespace tandem::detail {

/// What one process keeps of one hash, and how it stays coherent.
///
/// Everything is said over the event connection, which hears of changes, too:
///
/// - Who changes a field through a cache tells so, in the same script: all others put the new value
///   in the place of the old one.
/// - Of all other changes the server tells (client-side caching): that the hash has changed, not
///   which field. Then all is forgotten.
/// - Both touch the hash, and the server tells of both. It is known by the order: a change that is
///   told counts in the key `changes` first, which is tracked, too. So "changes" and then "hash" is
///   a change that will be told in the next message; "hash" alone is somebody else's.
/// - The server tells once and then no more until the keys are read again. For a round trip after a
///   change that was told nobody has read again but who made it, in the same script; so the last
///   one who told a change also tells the others ("gap") when a change by somebody else follows.
///
/// Source: Redis documentation, "Client-side caching"; the coherence rules are argued in
///         docs/maps.md.
///
/// Threads: on_... on the event thread, the rest from any.
class Cache : public std::enable_shared_from_this<Cache> {
 public:
  Cache(Core& core, std::string id, std::string name, CacheOptions options,
        CachedHash::Decode decode);

  /// The key of the number of changes.
  [[nodiscard]] std::string const& changes() const noexcept { return changes_; }
  /// Where they are told.
  [[nodiscard]] std::string const& channel() const noexcept { return channel_; }

  // -- for the threads that read

  [[nodiscard]] bool is_told() const noexcept { return told_.load(); }
  [[nodiscard]] bool has_been_told() const noexcept { return has_been_told_.load(); }
  /// By one who is Reading.
  [[nodiscard]] CachedValue const* find(std::string_view field) const noexcept {
    auto const* const entry = serves_ || is_told() ? table_.find(field) : nullptr;
    return entry == nullptr ? nullptr : entry->value.get();
  }

  /// What is asked of the server for those who wait for it.
  struct Fill;
  using FillPtr = std::shared_ptr<Fill>;
  /// For each field, together with who has asked for it already, or anew.
  [[nodiscard]] std::vector<FillPtr> ask(std::span<std::string_view const> fields, bool anew);
  /// The answer; none when the connection was lost before it came. Throws InDoubt at the deadline,
  /// and what the server said instead.
  [[nodiscard]] CachedHash::Value await(Fill& fill, Deadline deadline);

  /// What is kept of a field while nothing is told of it.
  void forget(std::string_view field);

  /// What src/lua/cached_map/change.lua answers.
  struct Outcome {
    bool done = false;
    bool had = false;
    std::uint64_t number = 0;
    std::optional<std::string> before{};
    long long left = -1;

    explicit Outcome(ReplyView const& reply);
  };
  /// A change, made over the event connection; none, and nothing was sent, when that is not there.
  /// The field is the second of the arguments. Throws InDoubt, and what the server said instead.
  [[nodiscard]] std::optional<Outcome> change(std::span<Argument const> arguments,
                                              std::optional<std::string_view> desired,
                                              Deadline deadline);
  /// One was made by this process over another connection, or may have been: that is told of nothing
  /// that follows.
  void owe_gap();
  /// One that was.
  void note_made_elsewhere(std::string_view field, std::optional<std::string_view> desired,
                           Outcome const& outcome);

  /// Whether changes are told by then. False as soon as the server refuses to.
  [[nodiscard]] bool await_told(Deadline deadline);
  [[nodiscard]] std::string refusal() const;

  [[nodiscard]] ChangeListeners& listeners() noexcept { return listeners_; }

  [[nodiscard]] std::string const& id() const noexcept { return id_; }

  /// Whether others still have to be told that a change may have gone unnoticed; once.
  [[nodiscard]] bool take_owed_gap();
  [[nodiscard]] CommandBuffer gap_notice() const;

  // -- what the event connection says

  void on_subscribed();
  void on_refused(ServerError const& error);
  void on_disconnected();
  void on_message(std::string_view text);
  /// No key: any.
  void on_changed(std::optional<std::string_view> key);
  Deadline on_time(Deadline now);

 private:
  struct Change;
  using Fills = std::multimap<std::string, FillPtr, std::less<>>;

  [[nodiscard]] FillPtr ask(std::string_view field, bool anew);
  void begin_to_track(Deadline now);
  void send_fills();
  void send_fills(std::vector<FillPtr> const& fills, bool in_full);
  void take_fills(std::vector<FillPtr> const& fills, std::int64_t sent, std::uint64_t gap,
                  ReplyView const& reply);
  void take_change(Change& change, std::int64_t sent, std::uint64_t gap, ReplyView const* reply);
  void take_own(std::string_view field, std::optional<std::string_view> desired,
                Outcome const& outcome, std::optional<std::int64_t> good_until, std::uint64_t gap);
  void send_changes();
  void send_change(std::shared_ptr<Change> const& change, bool in_full);
  void finish(std::vector<FillPtr> const& fills, std::optional<ServerError> const& refusal);
  void await_message();
  void take_tracking(std::uint64_t invalidations, ReplyView const* reply);

  void somebody_else_changed_it();
  void forget_all();
  void tell_gap();
  [[nodiscard]] std::int64_t good_until(std::int64_t since, long long left) const noexcept;
  /// Puts a script with these keys into `out`, in full the first time after connecting.
  void add(CommandBuffer& out, Script const& script, std::span<Argument const> arguments,
           bool in_full);

  Events& events_;
  std::string const id_;
  std::string const name_;
  std::string const ends_;
  std::string const changes_;
  std::string const channel_;
  CacheOptions const settings_;
  bool const serves_;  // also while it is not told of changes
  CachedHash::Decode const decode_;
  std::atomic<bool> told_{false};
  std::atomic<bool> has_been_told_{false};

  mutable std::mutex mutex_{};  // guards what follows, and that one changes the table at a time
  std::condition_variable changed_{};
  EntryTable table_;
  Fills in_flight_{};
  std::vector<FillPtr> to_ask_{};
  std::vector<std::shared_ptr<Change>> to_make_{};
  std::uint64_t gap_ = 0;          // how often all was forgotten
  std::uint64_t last_change_ = 0;  // that was told
  bool owes_gap_ = false;          // a change by somebody else may have gone unnoticed by all
  std::string refusal_{};

  ChangeListeners listeners_;

  // The event thread's own.
  bool subscribed_ = false;
  bool tracked_ = false;  // both keys
  bool asks_to_track_ = false;
  bool change_comes_ = false;  // `changes` has changed, so a message follows
  bool was_last_ = false;      // to tell a change
  std::uint64_t invalidations_ = 0;
  Deadline track_again_{};
  Backoff track_pause_;
  std::vector<std::string_view> known_{};  // scripts, to the server
};

}  // namespace tandem::detail
