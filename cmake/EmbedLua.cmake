# tandem_embed_lua(<target> <file.lua>...)
#
# Writes <build>/generated/scripts.hpp and scripts.cpp, for <target> only, with one constant per file:
# src/lua/lock/acquire.lua becomes `extern Script const lock_acquire` in tandem::scripts, and `all`
# lists every one with its name. A change within a file changes scripts.cpp alone. The SHA1 is taken here, over the very
# bytes embedded, so tandem ships no SHA1 code. Configuring fails when a script's header and its
# body do not name the same KEYS and ARGV: a line `-- KEYS[1] ...` or `-- ARGV[2] ...` for each, and
# `-- ARGV[3..] ...` for "from here on, any number", which a body reads with a computed index or as
# a whole (ARGV[i], #ARGV, unpack(ARGV, 3)).
#
# A header line `-- uses: part` puts part.lua, of the same folder, between header and body: what
# several scripts have in common; `-- uses: noun/part` one of another folder. The part is no script
# of its own and not in the list of files.
function(tandem_embed_lua target)
  set(declarations "")
  set(constants "")
  set(entries "")
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file NORMALIZE) # file(SHA1) reads from the process's folder otherwise
    tandem_read_lua("${file}" source)
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(GET folder FILENAME noun)
    cmake_path(GET file STEM verb)
    if(NOT source MATCHES "^-- ${noun}/${verb}: ")
      message(FATAL_ERROR "${file}: the first line must be `-- ${noun}/${verb}: one sentence.`")
    endif()
    if(source MATCHES "\n-- uses: ([a-z_]+/)?([a-z_]+)\n")
      set(part_file "${folder}/${CMAKE_MATCH_2}.lua")
      if(CMAKE_MATCH_1)
        set(part_file "${folder}/../${CMAKE_MATCH_1}${CMAKE_MATCH_2}.lua")
      endif()
      cmake_path(NORMAL_PATH part_file)
      tandem_read_lua("${part_file}" part)
      string(REGEX REPLACE "\n-- uses: [a-z_/]+\n" "\n" source "${source}")
      string(REGEX MATCH "^(--[^\n]*\n)*" header "${source}")
      string(LENGTH "${header}" header_length)
      string(SUBSTRING "${source}" ${header_length} -1 body)
      set(source "${header}${part}${body}")
    endif()
    string(SHA1 sha1 "${source}")
    tandem_check_lua_header("${file}" "${source}")

    string(APPEND declarations "extern Script const ${noun}_${verb};\n")
    string(APPEND constants "constexpr Script ${noun}_${verb}{R\"LUA(${source})LUA\",\n"
      "    \"${sha1}\"};\n")
    string(APPEND entries "    Named{\"${noun}/${verb}\", ${noun}_${verb}},\n")
  endforeach()
  list(LENGTH ARGN count)
  # Only written when they differ, so that an unrelated configure rebuilds nothing.
  set(generated "${CMAKE_CURRENT_BINARY_DIR}/generated")
  file(CONFIGURE OUTPUT "${generated}/scripts.hpp" CONTENT [[
// Made by cmake/EmbedLua.cmake from src/lua/. Do not edit.
#pragma once

#include <array>
#include <string_view>

#include <tandem/core/script.hpp>

namespace tandem::scripts {

@declarations@
struct Named {
  std::string_view name;
  Script const& script;
};
extern std::array<Named, @count@> const all;

}  // namespace tandem::scripts
]] @ONLY)
  file(CONFIGURE OUTPUT "${generated}/scripts.cpp" CONTENT [[
// Made by cmake/EmbedLua.cmake from src/lua/. Do not edit.
#include "scripts.hpp"

namespace tandem::scripts {

@constants@
constexpr std::array<Named, @count@> all{
@entries@};

}  // namespace tandem::scripts
]] @ONLY)
  target_sources(${target} PRIVATE "${generated}/scripts.cpp")
  target_include_directories(${target} PRIVATE "${generated}")
endfunction()

# tandem_read_lua(<file> <variable>): its bytes, every one of them; a change of the file configures
# anew.
function(tandem_read_lua file variable)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(READ "${file}" source)
  string(SHA1 sha1 "${source}")
  file(SHA1 "${file}" sha1_on_disk)
  if(NOT sha1 STREQUAL sha1_on_disk OR source MATCHES "\r" OR source MATCHES "\\)LUA\"")
    message(FATAL_ERROR "${file}: cannot be embedded byte for byte (NUL, carriage return or )LUA\" in it)")
  endif()
  set(${variable} "${source}" PARENT_SCOPE)
endfunction()

# KEYS[any] and ARGV[any] stand for a computed index and for the table as a whole.
function(tandem_check_lua_header file source)
  string(REGEX MATCHALL "\n-- (KEYS|ARGV)[[][0-9]+(\\.\\.)?[]]" declared "${source}")
  list(TRANSFORM declared REPLACE "\n-- " "")
  list(TRANSFORM declared REPLACE "[0-9]+\\.\\." "any")
  string(REGEX REPLACE "--[^\n]*" "" body "${source}")
  string(REGEX MATCHALL "(KEYS|ARGV)[[][0-9]+[]]" used "${body}")
  string(REGEX REPLACE "(KEYS|ARGV)[[][0-9]+[]]" "" rest "${body}")
  foreach(table IN ITEMS KEYS ARGV)
    if(rest MATCHES "${table}")
      list(APPEND used "${table}[any]")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES used)
  list(SORT used)
  list(SORT declared)
  if(NOT "${used}" STREQUAL "${declared}")
    message(FATAL_ERROR "${file}: its header names '${declared}', its body uses '${used}'")
  endif()
endfunction()
