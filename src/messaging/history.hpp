#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <tandem/core/subscription.hpp>

namespace tandem::detail {

/// How far a subscription has come in the history of a topic.
///
/// A message has an id, which the server's clock gives, and a number: the first of a history is 1,
/// each one more. The number says whether something is missing, and the history's birth whether it
/// is still the same one.
///
/// Threads: one at a time.
/// Source:  Redis documentation, "Streams".
class History {
 public:
  History(Client client, std::string const& topic);

  /// Where those listen who have one.
  [[nodiscard]] std::string const& channel() const noexcept { return channel_; }
  /// How many were told.
  [[nodiscard]] std::size_t publish(std::string_view topic, std::size_t most,
                                    std::string_view message) const;

  /// Before the `replay` latest messages. Throws as a read does.
  void begin(std::size_t replay);

  /// A message, or what is missing at this point.
  struct Step {
    std::optional<TopicGap> gap{};
    std::string_view message{};
  };
  struct Part {
    Reply reply;  // where the messages lie
    std::vector<Step> steps{};
    bool is_last = true;
  };
  /// What follows, a part of bounded size: it has been told. Throws Error; then nothing has.
  [[nodiscard]] Part read();

  /// What was heard at the channel; it refers to that.
  struct Heard;
  /// Throws CodecError for what nobody who has a history has published.
  [[nodiscard]] static Heard parse(std::string_view text);
  enum class Order { told, next, beyond };
  [[nodiscard]] Order order_of(Heard const& heard) const noexcept;
  /// Of one that is still beyond all that read() found: it has been told, after the gap.
  [[nodiscard]] std::vector<Step> take(Heard const& heard);

 private:
  struct Id {
    std::uint64_t milliseconds = 0;
    std::uint64_t sequence = 0;
    bool operator==(Id const&) const = default;
    [[nodiscard]] bool is_before(Id const& other) const noexcept {
      return std::tie(milliseconds, sequence) < std::tie(other.milliseconds, other.sequence);
    }
  };
  struct Field {
    std::string_view birth{};
    std::uint64_t number = 0;
  };
  [[nodiscard]] static std::optional<Id> read_id(std::string_view text) noexcept;
  [[nodiscard]] static std::optional<Field> read_field(std::string_view text) noexcept;
  /// What was told last.
  struct Place {
    Id id{};
    std::string birth{};                    // empty: nothing, and any history will do
    std::optional<std::uint64_t> number{};  // none: the next one may have any

    void go_on(Id to, Field const& field, std::string_view message, std::vector<Step>& steps);
  };

  Client client_;
  std::string key_;
  std::string channel_;
  Place place_{};
  bool is_there_ = false;  // as the last read found
};

struct History::Heard {
  Id id;
  Field field;
  std::string_view message;
};

}  // namespace tandem::detail
