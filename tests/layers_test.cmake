# Fails when an include points up or sideways, or a third-party header leaves its place.
#   cmake [-D root=<a tree>] -P tests/layers_test.cmake
cmake_minimum_required(VERSION 3.25)

# The floors, bottom up. A file may include what stands before its own name, public or private.
# Every other header directly in include/tandem/ is a primitive: it may include all of these and no
# other primitive. A private header beside src/<noun>.cpp is <noun>_<word>.hpp and for that noun
# only.
set(floors
  hiredis                                                  # the C library, tamed
  error options command describe companion_key random_id reply script codec scratch channel  # what is said: no sockets, no threads
  fork per_process process since_boot thread waiting futex bell lookup socket tls wire backoff inspection connect pool request line line_writing line_ends shared_line  # connections
  pipeline transaction conversation connection             # saying it there
  events attendant core client shared_key hold owner shared_hash cached_hash job_queue workforce subscription)            # what every primitive is built with
# The exceptions: primitives that are another one with another face.
set(exceptions "mutex -> lock" "recursive_lock -> lock" "shared_mutex -> shared_lock" "worker -> queue")
# What locks have in common is in src/locking/, for these only.
set(of_locking "^src/(locking/.*|(hold|lock|multi_lock|owner|recursive_lock|semaphore|shared_lock)\\.cpp)$")
# What is flushed in bulk has in src/buffering/ what it has in common.
set(of_buffering "^src/(buffering/.*|(buffered_counter(_buffer)?|statistics)\\.[ch]pp)$")
# What keeps shared data in the process is in src/caching/.
set(of_caching "^src/(caching/.*|cached_map\\.cpp)$")
# What is published and heard is in src/messaging/.
set(of_messaging "^src/(messaging/.*|topic\\.cpp)$")
# What shared data has in common is in src/sharing/.
set(of_sharing "^src/(sharing/.*|shared_value\\.cpp)$")

# What hands out jobs is in src/queueing/.
set(of_queueing "^src/(queueing/.*|queue(_pop|_push)?\\.cpp)$")

# Where a third-party header may be included, and what may never be in a public header.
set(home_of_hiredis "^src/core/hiredis\\.hpp$")
set(home_of_openssl "^src/core/(tls|script)\\.cpp$")
set(home_of_fmt     "^src/")
set(home_of_iostream "^src/")
set(home_of_regex    "^src/")
set(home_of_nlohmann "^include/tandem/codec/json\\.hpp$")
set(home_of_msgpack  "^include/tandem/codec/msgpack\\.hpp$")

if(NOT root)
  cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
endif()
file(GLOB_RECURSE files RELATIVE "${root}"
  "${root}/include/*.hpp" "${root}/src/*.hpp" "${root}/src/*.cpp")
if(NOT files)
  message(FATAL_ERROR "no headers under ${root}")
endif()

set(bad "")
foreach(file IN LISTS files)
  cmake_path(GET file STEM own)
  list(FIND floors "${own}" own_floor)
  if(own_floor EQUAL -1 AND file MATCHES "/core/")
    string(APPEND bad "  ${file}: give it its place in the list of floors in tests/layers_test.cmake\n")
  endif()
  file(STRINGS "${root}/${file}" lines REGEX "^ *# *include")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^.*[<\"](.*)[>\"].*$" "\\1" header "${line}")

    if(header MATCHES "^(hiredis|openssl|fmt|iostream|regex|nlohmann|msgpack)(/|\\.hpp$|$)")
      if(NOT file MATCHES "${home_of_${CMAKE_MATCH_1}}")
        string(APPEND bad "  ${file}: <${header}> does not belong here\n")
      endif()
      continue()
    endif()
    if(file MATCHES "^include/" AND header MATCHES "^core/")
      string(APPEND bad "  ${file}: ${header} (a public header includes no private one)\n")
    endif()
    if(header MATCHES "^locking/" AND NOT file MATCHES "${of_locking}")
      string(APPEND bad "  ${file}: ${header} (it is for locks only)\n")
    endif()
    if(header MATCHES "^buffering/" AND NOT file MATCHES "${of_buffering}")
      string(APPEND bad "  ${file}: ${header} (it is for what is flushed in bulk)\n")
    endif()
    if(header MATCHES "^caching/" AND NOT file MATCHES "${of_caching}")
      string(APPEND bad "  ${file}: ${header} (it is for CachedMap)\n")
    endif()
    if(header MATCHES "^messaging/" AND NOT file MATCHES "${of_messaging}")
      string(APPEND bad "  ${file}: ${header} (it is for Topic)\n")
    endif()
    if(header MATCHES "^sharing/" AND NOT file MATCHES "${of_sharing}")
      string(APPEND bad "  ${file}: ${header} (it is for shared data)\n")
    endif()
    if(header MATCHES "^queueing/" AND NOT file MATCHES "${of_queueing}")
      string(APPEND bad "  ${file}: ${header} (it is for Queue)\n")
    endif()
    if(header MATCHES "^([a-z_]+)_[a-z]+\\.hpp$")
      set(noun "${CMAKE_MATCH_1}")
      cmake_path(GET header STEM other)
      if(NOT own MATCHES "^${noun}(_|$)" AND NOT "${own} -> ${other}" IN_LIST exceptions)
        string(APPEND bad "  ${file}: ${header} (it is private to ${noun})\n")
      endif()
    endif()
    if(NOT header MATCHES "^(tandem/|core/)" OR file MATCHES "tandem/tandem\\.hpp$|/testing/")
      continue() # tandem.hpp includes everything, testing/ stands on top of everything
    endif()

    cmake_path(GET header STEM other)
    if(other STREQUAL own OR own MATCHES "^${other}_" OR "${own} -> ${other}" IN_LIST exceptions)
      continue()
    endif()
    list(FIND floors "${other}" other_floor)
    if(other_floor EQUAL -1 AND own_floor EQUAL -1)
      string(APPEND bad "  ${file}: ${header} (primitives do not know one another)\n")
    elseif(other_floor EQUAL -1 OR (own_floor GREATER -1 AND other_floor GREATER own_floor))
      string(APPEND bad "  ${file}: ${header} (upwards: ${own} stands below ${other})\n")
    endif()
  endforeach()
endforeach()
if(bad)
  message(FATAL_ERROR "includes point the wrong way:\n${bad}")
endif()
