# The steps of dependencies.cmake, one function each. Each reads the caller's dep_* variables,
# defines sluice::<name> when it finds the library, and then sets <ret_where> to a sentence that
# says where.

function(sluice_find_config name ret_where)
    find_package(${dep_PACKAGE} CONFIG QUIET)
    if(NOT ${dep_PACKAGE}_FOUND)
        return()
    endif()
    foreach(target ${dep_TARGETS})
        if(TARGET ${target})
            add_library(sluice::${name} INTERFACE IMPORTED GLOBAL)
            target_link_libraries(sluice::${name} INTERFACE ${target})
            set(${ret_where} "CMake package, target ${target}" PARENT_SCOPE)
            return()
        endif()
    endforeach()
    if(dep_VARIABLES)
        list(GET dep_VARIABLES 0 include)
        list(GET dep_VARIABLES 1 libraries)
        if(${libraries})
            add_library(sluice::${name} INTERFACE IMPORTED GLOBAL)
            target_include_directories(sluice::${name} INTERFACE "${${include}}")
            target_link_libraries(sluice::${name} INTERFACE "${${libraries}}")
            set(${ret_where} "CMake package, ${${libraries}}" PARENT_SCOPE)
        endif()
    endif()
endfunction()

function(sluice_find_pkgconfig name ret_where)
    find_package(PkgConfig QUIET)
    if(NOT PKG_CONFIG_FOUND)
        return()
    endif()
    string(MAKE_C_IDENTIFIER "SLUICE_PC_${name}" id)
    pkg_check_modules(${id} QUIET IMPORTED_TARGET GLOBAL ${dep_PKGCONFIG})
    if(${id}_FOUND)
        add_library(sluice::${name} INTERFACE IMPORTED GLOBAL)
        target_link_libraries(sluice::${name} INTERFACE PkgConfig::${id})
        set(${ret_where} "pkg-config, ${dep_PKGCONFIG} ${${id}_VERSION}" PARENT_SCOPE)
    endif()
endfunction()

function(sluice_find_prefix name prefix ret_where)
    # Looked up afresh each time: the prefix changes with the compiler and the sources.
    unset(found_include CACHE)
    unset(found_library CACHE)
    find_path(found_include NAMES "${dep_HEADER}" PATHS "${prefix}/include"
        NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
    find_library(found_library NAMES ${dep_LIBRARIES} PATHS "${prefix}/lib"
        NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
    if(found_include AND found_library)
        add_library(sluice::${name} UNKNOWN IMPORTED GLOBAL)
        set_target_properties(sluice::${name} PROPERTIES
            IMPORTED_LOCATION "${found_library}"
            INTERFACE_INCLUDE_DIRECTORIES "${found_include}"
            INTERFACE_LINK_LIBRARIES "${dep_SYSTEM}")
        set(${ret_where} "${found_library}" PARENT_SCOPE)
    endif()
    unset(found_include CACHE)
    unset(found_library CACHE)
endfunction()
