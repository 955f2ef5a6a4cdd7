#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/core/channel.hpp>

namespace tandem::detail {

/// When a buffer is flushed, and for how long it insists.
struct BufferTerms {
  std::chrono::milliseconds interval;
  /// What was sent and not answered is sent again for so long; the server remembers what it has
  /// applied for twice as long.
  std::chrono::milliseconds resend_for;
};

/// What a flush takes to the server. It is never changed: copies of it may be on their way.
struct Parcel {
  std::uint64_t sequence;
  std::vector<std::string> words;
};

/// What the threads of a process gather to be added to something on the server, exactly once.
///
/// Parcels leave one after the other: while it is not known what became of one, it, and no other,
/// is sent again. Each has a number, and in a record of its own the server keeps the last that it
/// applied for this buffer, or refused for good; so a copy does nothing, by whatever way and
/// however late it comes. Any thread may send a copy when it needs the answer.
///
///     applied                       forgotten
///     refused                       goes back to what is gathered, and is part of a later parcel
///     not known for `resend_for`    given up, counted and told: the record may have expired
///
/// A buffer belongs to one process; the child of a fork makes one of its own. When it outlives its
/// process, another goes on with it in its name: with the numbers and the record that it had.
///
/// Threads: safe from several.
class Buffer {
 public:
  using Sent = std::shared_ptr<Parcel const>;

  /// `name` is what is added to, `record` the key of its record.
  Buffer(std::string name, std::string record, BufferTerms const& terms)
      : terms_{terms}, name_{std::move(name)}, record_{std::move(record)} {}
  Buffer(Buffer const&) = delete;
  Buffer& operator=(Buffer const&) = delete;
  virtual ~Buffer() = default;

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] std::string const& record() const noexcept { return record_; }
  [[nodiscard]] BufferTerms const& terms() const noexcept { return terms_; }

  // -- sending: each parcel of begin() is to be told of by `answered` or `lost` --

  /// The parcel in hand, or one of what is gathered; none when that is nothing.
  [[nodiscard]] Sent begin();
  void write(CommandBuffer& out, Parcel const& parcel, bool by_sha1) const;
  /// Why the server refused it; none when it was applied.
  [[nodiscard]] std::optional<ServerError> answered(Sent const& parcel, ReplyView reply);
  /// There was no answer.
  void lost(Sent const& parcel, bool perhaps_executed) noexcept;

  /// Sends all that was gathered before the call, and waits for the answers. Throws Unreachable,
  /// InDoubt, ServerError; what is not confirmed stays.
  void flush(Channel& channel);

  /// Gives the parcel in hand up if it has been in doubt for too long, and says so.
  [[nodiscard]] std::optional<InDoubt> give_up_if_late();
  /// Fetches what ended threads have left. Whether there is nothing to be delivered.
  [[nodiscard]] bool is_empty();
  /// What is said of it when there is nobody left to deliver it, `why` included; none when it is
  /// empty.
  [[nodiscard]] std::unique_ptr<Error> last_words(std::string_view why);
  /// How much was given up, of what it counts.
  [[nodiscard]] std::int64_t unconfirmed() const;

  // -- for the flusher --

  /// Why who adds must take the slow way; 0: it need not.
  std::atomic<unsigned> care{asleep};
  static constexpr unsigned asleep = 1;  ///< the flusher will not look by itself for a while
  static constexpr unsigned full = 2;    ///< there is hardly any room
  /// It is to be flushed before its interval is over.
  std::atomic<bool> is_urgent{false};
  struct Schedule {
    bool known = false;  // to it
    Deadline due = Deadline::max();
    bool retired = false;      // nobody adds to it any more
    bool undelivered = false;  // and it could not be flushed at once
    // From here on the event thread's own.
    bool under_way = false;  // over its connection
    std::string told{};      // to Options::on_error, of refusals since the last success
  };
  Schedule schedule{};

  [[nodiscard]] virtual Script const& script() const noexcept = 0;

  /// Whether another process goes on with what is in it when this one has ended; and this one with
  /// what others have left.
  [[nodiscard]] virtual bool outlives_its_process() const noexcept { return false; }
  /// What they have left: to be delivered, and then forgotten. `told` is told what is wrong with
  /// it.
  [[nodiscard]] virtual std::vector<std::shared_ptr<Buffer>> left_by_others(
      Options const& /*told*/) {
    return {};
  }

 protected:
  /// Takes up what another left: that was the number of its last parcel, and these are its words if
  /// it may be on its way yet. For constructors.
  void go_on(std::uint64_t sequence, std::vector<std::string> words,
             std::chrono::nanoseconds first_sent);

  /// The script's, but for the record, which is the last.
  [[nodiscard]] virtual std::vector<std::string_view> keys() const = 0;

  // With mutex_ held:
  /// Fetches what is in the threads' cells.
  virtual void gather() = 0;
  /// Takes what is gathered in hand, and writes its words; false when that is nothing.
  [[nodiscard]] virtual bool pack(std::vector<std::string>& words) = 0;
  /// Puts what is in hand back to what is gathered.
  virtual void put_back() noexcept = 0;
  /// It has arrived, or is given up.
  virtual void let_go() noexcept = 0;
  /// What is in hand has changed. Nobody sends it, or another, before this returns.
  virtual void note_parcel() noexcept {}
  /// How much is in hand, and how much is gathered besides, for texts and counts.
  [[nodiscard]] virtual std::int64_t in_hand() const noexcept = 0;
  [[nodiscard]] virtual std::int64_t gathered() const noexcept = 0;

  /// The number of the parcel in hand, or of the last.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  [[nodiscard]] bool has_parcel() const noexcept { return parcel_ != nullptr; }
  /// When it began, by since_boot().
  [[nodiscard]] std::chrono::nanoseconds first_sent() const noexcept { return first_sent_; }

  mutable std::mutex mutex_{};
  BufferTerms const terms_;

 private:
  [[nodiscard]] std::string doing() const;
  template <class Say>
  auto with_words(Parcel const& parcel, Say&& say) const;
  enum class End { arrived, refused, never_was };
  void end_parcel(End how) noexcept;

  std::string const name_;
  std::string const record_;
  std::uint64_t sequence_ = 0;
  Sent parcel_{};
  std::chrono::nanoseconds first_sent_{};
  int under_way_ = 0;      // copies of it
  bool in_doubt_ = false;  // a copy of it was not answered
  std::int64_t unconfirmed_ = 0;
};

/// Throws std::invalid_argument, which begins with `whose`: "a buffered counter was".
void check(BufferTerms const& terms, std::string_view whose);

/// The sum, or the number nearest to it.
[[nodiscard]] inline std::int64_t saturating_add(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? INT64_MIN : INT64_MAX;
}

}  // namespace tandem::detail
