# bash completion for docker-ecs-ship
#
# It asks the program itself: `docker-ecs-ship __complete WORDS…` answers a candidate a line and, last,
# a directive (spf13/cobra's protocol).

__docker_ecs_ship() {
    local words cword cur
    if declare -F _comp_initialize >/dev/null; then
        local prev was_split comp_args
        _comp_initialize -n =: -- "$@" || return
    elif declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n =: cur words cword
    else
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
    fi

    local answer
    answer=$("${words[0]}" __complete "${words[@]:1:cword-1}" "$cur" 2>/dev/null) || return

    local directive=${answer##*:} lines=() line
    while IFS= read -r line; do
        lines+=("$line")
    done <<<"${answer%:*}"

    # Readline has already taken `--flag=` off the word.
    local typed=$cur
    [[ $typed == --*=* ]] && typed=${typed#*=}

    local ending
    case $directive in
    8)
        COMPREPLY=()
        compopt -o filenames 2>/dev/null
        for line in "${lines[@]}"; do
            [[ -n $line ]] || continue
            while IFS= read -r ending; do
                COMPREPLY+=("$ending")
            done < <(compgen -f -X "!*.$line" -- "$typed")
        done
        while IFS= read -r ending; do
            COMPREPLY+=("$ending")
        done < <(compgen -d -- "$typed")
        return
        ;;
    16)
        compopt -o filenames 2>/dev/null
        while IFS= read -r ending; do
            COMPREPLY+=("$ending")
        done < <(compgen -d -- "$typed")
        return
        ;;
    esac

    local found=()
    for line in "${lines[@]}"; do
        [[ -n $line && ${line%%$'\t'*} == "$typed"* ]] && found+=("$line")
    done

    if [[ ${#found[@]} -eq 0 ]]; then
        if [[ $directive == 0 ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r ending; do
                COMPREPLY+=("$ending")
            done < <(compgen -f -- "$typed")
        fi
        return
    fi

    # Several are listed with what they mean; a single one is taken as it is.
    COMPREPLY=()
    if [[ ${#found[@]} -eq 1 || ${COMP_TYPE:-9} == 37 || ${COMP_TYPE:-9} == 42 ]]; then
        for line in "${found[@]}"; do
            COMPREPLY+=("$(printf '%q' "${line%%$'\t'*}")")
        done
        return
    fi
    local longest=0 value
    for line in "${found[@]}"; do
        value=${line%%$'\t'*}
        ((${#value} > longest)) && longest=${#value}
    done
    for line in "${found[@]}"; do
        value=${line%%$'\t'*}
        if [[ $line == *$'\t'* ]]; then
            COMPREPLY+=("$(printf '%-*s  (%s)' "$longest" "$value" "${line#*$'\t'}")")
        else
            COMPREPLY+=("$value")
        fi
    done
}

complete -o default -o nosort -F __docker_ecs_ship docker-ecs-ship 2>/dev/null ||
    complete -o default -F __docker_ecs_ship docker-ecs-ship
