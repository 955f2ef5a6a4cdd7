#include "buffering/buffer.hpp"

#include <stdexcept>

#include <fmt/core.h>

#include "core/since_boot.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;

void check_time(milliseconds given, std::chrono::hours most, std::string_view whose,
                std::string_view what) {
  if (given >= milliseconds{1} && given <= most) return;
  throw std::invalid_argument{
      fmt::format("tandem: {} given a {} of {} ms; it is from 1 ms to {} hours", whose, what,
                  given.count(), most.count())};
}

std::int64_t magnitude(std::int64_t amount) noexcept {
  if (amount == INT64_MIN) return INT64_MAX;
  return amount < 0 ? -amount : amount;
}

}  // namespace

void check(BufferTerms const& terms, std::string_view whose) {
  check_time(terms.interval, std::chrono::hours{12}, whose, "flush_interval");
  check_time(terms.resend_for, std::chrono::hours{24}, whose, "resend_for");
  if (terms.resend_for >= 2 * terms.interval) return;
  throw std::invalid_argument{
      fmt::format("tandem: {} given a resend_for of {} ms with a flush_interval of {} ms; it is at "
                  "least twice as long: what was not answered waits for the next flush",
                  whose, terms.resend_for.count(), terms.interval.count())};
}

std::string Buffer::doing() const { return "flushing " + name_; }

Buffer::Sent Buffer::begin() {
  std::lock_guard const guard{mutex_};
  if (parcel_ == nullptr) {
    auto fresh = std::make_shared<Parcel>();
    gather();
    if (!pack(fresh->words)) return nullptr;
    fresh->sequence = ++sequence_;
    parcel_ = std::move(fresh);
    first_sent_ = since_boot();
    note_parcel();
  }
  ++under_way_;
  return parcel_;
}

template <class Say>
auto Buffer::with_words(Parcel const& parcel, Say&& say) const {
  auto all_keys = keys();
  all_keys.emplace_back(record_);
  std::vector<Argument> arguments{parcel.sequence, (2 * terms_.resend_for).count()};
  for (auto const& word : parcel.words) arguments.emplace_back(word);
  return say(all_keys, arguments);
}

void Buffer::write(CommandBuffer& out, Parcel const& parcel, bool by_sha1) const {
  with_words(parcel, [&](auto const& all_keys, auto const& arguments) {
    add_script(out, script(), by_sha1, all_keys, arguments);
  });
}

std::optional<ServerError> Buffer::answered(Sent const& parcel, ReplyView reply) {
  bool const refused = reply.kind() == ReplyKind::array;
  std::optional<ServerError> out;
  if (refused) out.emplace(reply[1].as<std::string_view>(), doing());
  if (reply.is_error()) out.emplace(reply.error_text(), doing());

  std::lock_guard const guard{mutex_};
  if (parcel != parcel_) return out;  // another copy has told
  --under_way_;
  if (!out) {
    end_parcel(End::arrived);
  } else if (refused) {
    end_parcel(End::refused);
  } else if (under_way_ == 0 && !in_doubt_) {
    end_parcel(End::never_was);  // this copy did nothing, and there is no other that may have
  }
  return out;
}

void Buffer::lost(Sent const& parcel, bool perhaps_executed) noexcept {
  std::lock_guard const guard{mutex_};
  if (parcel != parcel_) return;
  --under_way_;
  in_doubt_ = in_doubt_ || perhaps_executed;
  if (under_way_ == 0 && !in_doubt_) end_parcel(End::never_was);
}

void Buffer::end_parcel(End how) noexcept {
  if (how == End::arrived) {
    let_go();
  } else {
    put_back();
  }
  if (how == End::never_was) --sequence_;  // no copy of it will ever come
  parcel_.reset();
  under_way_ = 0;
  in_doubt_ = false;
  note_parcel();
}

void Buffer::go_on(std::uint64_t sequence, std::vector<std::string> words,
                   std::chrono::nanoseconds first_sent) {
  sequence_ = sequence;
  if (words.empty()) return;
  parcel_ = std::make_shared<Parcel const>(Parcel{sequence, std::move(words)});
  first_sent_ = first_sent;
  in_doubt_ = true;
}

void Buffer::flush(Channel& channel) {
  if (auto const given_up = give_up_if_late()) channel.options().report(*given_up);
  auto const deadline = channel.deadline();
  std::uint64_t before = 0;
  {
    std::lock_guard const guard{mutex_};
    before = sequence_;
  }
  // The first may be one that was in hand already; what was gathered by now is in the next.
  for (std::uint64_t sent = 0; sent <= before;) {
    auto const parcel = begin();
    if (parcel == nullptr) return;
    sent = parcel->sequence;
    std::optional<ServerError> refusal;
    try {
      auto const reply = with_words(*parcel, [&](auto const& all_keys, auto const& arguments) {
        return channel.run(script(), all_keys, arguments, deadline);
      });
      refusal = answered(parcel, reply);
    } catch (InDoubt const&) {
      lost(parcel, true);
      throw;
    } catch (Error const&) {  // not sent, or an error of the server, which did nothing
      lost(parcel, false);
      throw;
    } catch (...) {
      lost(parcel, true);
      throw;
    }
    if (refusal) throw ServerError{*refusal};
  }
}

std::optional<InDoubt> Buffer::give_up_if_late() {
  std::lock_guard const guard{mutex_};
  if (!in_doubt_ || since_boot() - first_sent_ < terms_.resend_for) return std::nullopt;
  auto const amount = in_hand();
  unconfirmed_ = saturating_add(unconfirmed_, magnitude(amount));
  end_parcel(End::arrived);
  return InDoubt{fmt::format(
      "tandem: {}: whether {} was added is not known: it was sent, and not answered within {} ms",
      name_, amount, terms_.resend_for.count())};
}

bool Buffer::is_empty() {
  std::lock_guard const guard{mutex_};
  if (parcel_ != nullptr) return false;
  gather();
  return gathered() == 0;
}

std::unique_ptr<Error> Buffer::last_words(std::string_view why) {
  std::lock_guard const guard{mutex_};
  gather();
  auto const left = gathered();
  if (parcel_ == nullptr && left == 0) return nullptr;
  if (outlives_its_process()) {
    return std::make_unique<Error>(
        fmt::format("tandem: {}: {} is left for another process of this user to add: {}", name_,
                    saturating_add(in_hand(), left), why));
  }
  if (!in_doubt_) {
    return std::make_unique<Error>(fmt::format("tandem: {}: {} was never added: {}", name_,
                                               saturating_add(in_hand(), left), why));
  }
  return std::make_unique<InDoubt>(
      fmt::format("tandem: {}: whether {} was added is not known, and {} more was not: {}", name_,
                  in_hand(), left, why));
}

std::int64_t Buffer::unconfirmed() const {
  std::lock_guard const guard{mutex_};
  return unconfirmed_;
}

}  // namespace tandem::detail
