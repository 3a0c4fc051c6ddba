loaded_by_it = true
